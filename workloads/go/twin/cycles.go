package twin

import (
	"regexp"
	"strconv"
	"strings"
)

// What Go says of a cycle: the pacer's second line (bytes), then the gctrace line (times, live heap in MB).
var (
	pacerEnd = regexp.MustCompile(`^pacer: (-?\d+)% CPU \((\d+) exp\.\) for (\d+)\+(\d+)\+(\d+) B work \((\d+) B exp\.\) ` +
		`in (\d+) B -> (\d+) B \(∆goal (-?\d+), cons/mark ([+-][\d.e+-]+)\)$`)
	gcLine = regexp.MustCompile(`^gc (\d+) @([\d.]+)s (\d+)%: ([\d.]+)\+([\d.]+)\+([\d.]+) ms clock, ` +
		`([\d.]+)\+([\d.]+)/([\d.]+)/([\d.]+)\+([\d.]+) ms cpu, (\d+)->(\d+)->(\d+) MB, (\d+) MB goal, ` +
		`(?:(\d+) MB stacks, (\d+) MB globals, )?(\d+) P( \(forced\))?$`)
)

// A Trace gathers cycles from the lines of gctrace and gcpacertrace.
type Trace struct {
	Cycles  []map[string]any
	Unread  int
	percent int
	pending []string // the pacer's line that belongs to the next gc line
}

func integer(text string) int64 {
	value, _ := strconv.ParseInt(text, 10, 64)
	return value
}

func ms(text string) int64 {
	value, _ := strconv.ParseFloat(text, 64)
	return int64(value * 1e6)
}

// Line takes one line of standard error; true if it was a line of the runtime.
func (t *Trace) Line(text string) bool {
	if fields := pacerEnd.FindStringSubmatch(text); fields != nil {
		t.pending = fields
		return true
	}
	if strings.HasPrefix(text, "pacer: ") || strings.HasPrefix(text, "scav ") {
		return true
	}
	fields := gcLine.FindStringSubmatch(text)
	if fields == nil {
		if strings.HasPrefix(text, "gc ") {
			t.Unread++
		}
		return false
	}
	t.add(fields)
	return true
}

func (t *Trace) add(f []string) {
	seconds, _ := strconv.ParseFloat(f[2], 64)
	begin := int64(seconds * 1e9)
	// Told in whole milliseconds: a cycle that follows at once would seem to begin before the last one ended.
	if n := len(t.Cycles); n > 0 {
		if end := t.Cycles[n-1]["end_ns"].(int64); begin < end {
			begin = end
		}
	}
	stop, mark, last := ms(f[4]), ms(f[5]), ms(f[6])
	trigger := "heap"
	if f[19] != "" {
		trigger = "forced"
	}
	const mib = int64(1) << 20
	heap := map[string]any{"begin": integer(f[12]) * mib, "mark_end": integer(f[13]) * mib, "live": integer(f[14]) * mib,
		"goal": integer(f[15]) * mib}
	cycle := map[string]any{
		"number": integer(f[1]), "kind": "full", "trigger": trigger, "begin_ns": begin, "end_ns": begin + stop + mark + last,
		"durations_ns": map[string]any{"sweep_termination": stop, "mark": mark, "mark_termination": last},
		"heap_bytes":   heap,
		"cpu_ns": map[string]any{"assist": ms(f[8]), "dedicated": ms(f[9]), "idle": ms(f[10]),
			"pause": ms(f[7]) + ms(f[11])},
	}
	if p := t.pending; p != nil {
		heap["begin"] = integer(p[7])
		heap["trigger"] = integer(p[7])
		heap["mark_end"] = integer(p[8])
		heap["goal"] = integer(p[8]) - integer(p[9])
		cycle["scanned_bytes"] = map[string]any{"heap": integer(p[3]), "stacks": integer(p[4]), "globals": integer(p[5])}
		t.refineLive(heap["goal"].(int64))
	}
	t.pending = nil
	t.Cycles = append(t.Cycles, cycle)
}

// The gc line has the live heap in whole MB only. The goal of the next cycle is exact, and so gives it exactly where
// GOGC set that goal:  goal = live + (live + stacks + globals) * GOGC / 100.
func (t *Trace) refineLive(nextGoal int64) {
	if len(t.Cycles) == 0 || t.percent < 0 {
		return
	}
	last := t.Cycles[len(t.Cycles)-1]
	scanned, known := last["scanned_bytes"].(map[string]any)
	if !known {
		return
	}
	roots := scanned["stacks"].(int64) + scanned["globals"].(int64)
	g := float64(t.percent) / 100
	live := int64((float64(nextGoal) - g*float64(roots)) / (1 + g))
	heap := last["heap_bytes"].(map[string]any)
	if told := heap["live"].(int64); live >= told && live < told+1<<20 {
		heap["live"] = live
	}
}
