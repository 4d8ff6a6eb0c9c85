// The Go twin of workloads/gogc: one load under many values of GOGC.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"keel/twin"
)

const (
	objects = 208
	kept    = 8
)

type part struct {
	percent   int // -1: off
	requests  uint64
	allocated uint64
	cycles    uint32
	wall      time.Duration
	cpu       int64
	gcCPU     int64
	peak      uint64
	latency   twin.Histogram
}

func processCPU() int64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// Go says what share of the CPU since the start went to collection, idle marking left out; newer ones say seconds.
func gcCPU(stats *runtime.MemStats, started time.Time) int64 {
	samples := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() == metrics.KindFloat64 {
		return int64(samples[0].Value.Float64() * 1e9)
	}
	// The fraction is of the time up to the last collection.
	if stats.LastGC == 0 {
		return 0
	}
	elapsed := int64(stats.LastGC) - started.UnixNano()
	return int64(stats.GCCPUFraction * float64(elapsed) * float64(runtime.GOMAXPROCS(0)))
}

func parsePercents(text string) []int {
	var percents []int
	for _, item := range strings.Split(text, ",") {
		if item == "off" {
			percents = append(percents, -1)
			continue
		}
		percent, err := strconv.Atoi(item)
		if err != nil || percent < 1 || percent > 1000000 {
			twin.Refuse(fmt.Sprintf("option --percents: '%s' is outside [1, 1000000] and not off", item))
		}
		percents = append(percents, percent)
	}
	return percents
}

func slope(parts []*part) (float64, bool) {
	var xs, ys []float64
	for _, p := range parts {
		if p.percent >= 50 && p.percent <= 800 && p.gcCPU > 0 {
			xs = append(xs, math.Log(float64(p.percent)))
			ys = append(ys, math.Log(float64(p.gcCPU)/float64(p.allocated)))
		}
	}
	if len(xs) < 2 {
		return 0, false
	}
	mx, my := 0.0, 0.0
	for i := range xs {
		mx += xs[i] / float64(len(xs))
		my += ys[i] / float64(len(xs))
	}
	xx, xy := 0.0, 0.0
	for i := range xs {
		xx += (xs[i] - mx) * (xs[i] - mx)
		xy += (xs[i] - mx) * (ys[i] - my)
	}
	return xy / xx, xx != 0
}

func main() {
	started := time.Now()
	live, off := uint64(32<<20), uint64(1<<30)
	text := flag.String("percents", "10,25,50,100,200,400,800,1600,3200,off", "values of GOGC, or off, with commas")
	twin.SizeFlag("live", &live, "live data (default 32MiB)")
	twin.SizeFlag("off-allocates", &off, "where off ends, as nothing is collected (default 1GiB)")
	o := twin.Parse()
	percents := parsePercents(*text)
	if _, given := o.Given["duration"]; !given {
		o.Duration = 3 * time.Second
	}
	twin.Supervise("gogc", o)
	var ballast []byte
	if o.Ballast != 0 {
		ballast = make([]byte, o.Ballast)
	}
	entries := live / uint64(o.Threads) / (kept*96 + 8)
	if entries == 0 {
		entries = 1
	}
	tables := make([][]*twin.Link, o.Threads)
	for t := range tables {
		tables[t] = make([]*twin.Link, entries)
		for i := range tables[t] {
			tables[t][i] = twin.MakeChain(kept, uint64(i))
		}
	}
	var damaged atomic.Bool
	var parts []*part
	rssStart, _ := twin.Resident()
	begin := time.Now()
	for _, percent := range percents {
		p := &part{percent: percent}
		parts = append(parts, p)
		debug.SetGCPercent(percent)
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		gcBefore, cpuBefore := gcCPU(&before, started), processCPU()
		from := time.Now()
		var group sync.WaitGroup
		var requests, peak atomic.Uint64
		latencies := make([]twin.Histogram, o.Threads)
		for t := 0; t < o.Threads; t++ {
			group.Add(1)
			go func(t int) {
				defer group.Done()
				rng := twin.NewRng(o.Seed*0x10001 + uint64(t))
				heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
				mark := time.Now()
				n := uint64(0)
				for ; (o.Operations == 0 || n < o.Operations/uint64(o.Threads)) && (o.Operations != 0 || mark.Sub(from) < o.Duration); n++ {
					at := rng.Below(entries)
					tables[t][at] = twin.MakeChain(kept, at)
					if rest := twin.MakeChain(objects-kept, n); !twin.Whole(rest, objects-kept, n) {
						damaged.Store(true)
					}
					now := time.Now()
					latencies[t].Record(int64(now.Sub(mark)))
					mark = now
					if n%64 == 63 {
						metrics.Read(heap)
						if in := heap[0].Value.Uint64(); in > peak.Load() {
							peak.Store(in)
						}
						if percent < 0 && (requests.Load()+n)*objects*96 > off {
							break
						}
					}
				}
				requests.Add(n)
			}(t)
		}
		group.Wait()
		p.wall = time.Since(from)
		runtime.ReadMemStats(&after)
		p.cpu, p.gcCPU = processCPU()-cpuBefore, gcCPU(&after, started)-gcBefore
		p.requests, p.peak = requests.Load(), peak.Load()
		p.allocated, p.cycles = after.TotalAlloc-before.TotalAlloc, after.NumGC-before.NumGC
		for t := range latencies {
			p.latency.Merge(&latencies[t])
		}
	}
	end := time.Now()
	for t := range tables {
		for i, head := range tables[t] {
			if !twin.Whole(head, kept, uint64(i)) {
				damaged.Store(true)
			}
		}
	}
	latency := &twin.Histogram{}
	told := []map[string]any{}
	total := uint64(0)
	if !o.Quiet && o.Report != "-" {
		twin.Printf("%8s %8s %10s %10s %12s %12s %12s\n", "GOGC", "cycles", "GC CPU ms", "CPU ms", "GC ns/KiB", "peak, MiB", "requests/s")
	}
	for _, p := range parts {
		name := any(p.percent)
		if p.percent < 0 {
			name = "off"
		}
		if !o.Quiet && o.Report != "-" {
			twin.Printf("%8v %8d %10.1f %10.1f %12.2f %12.1f %12.0f\n", name, p.cycles, float64(p.gcCPU)/1e6, float64(p.cpu)/1e6,
				1024*float64(p.gcCPU)/float64(p.allocated), float64(p.peak)/(1<<20), float64(p.requests)/p.wall.Seconds())
		}
		latency.Merge(&p.latency)
		total += p.requests
		told = append(told, map[string]any{"gogc": name, "requests": p.requests, "allocated_bytes": p.allocated, "cycles": p.cycles,
			"wall_ns": p.wall.Nanoseconds(), "cpu_ns": p.cpu, "gc_cpu_ns": p.gcCPU, "peak_heap_bytes": p.peak,
			"latency": p.latency.Section()})
	}
	results := map[string]any{"parts": told, "live_bytes": uint64(o.Threads) * entries * (kept*96 + 8)}
	if s, known := slope(parts); known {
		results["slope"] = s
		if !o.Quiet && o.Report != "-" {
			twin.Printf("gogc: slope of log GC CPU per byte over log GOGC, 50 to 800: %.3f\n", s)
		}
	}
	passed := !damaged.Load()
	twin.Tell(map[string]any{
		"workload": map[string]any{"self_check": map[string]any{"passed": passed, "detail": "every entry intact under every GOGC"}},
		"run": map[string]any{"operations": total, "rss_start_bytes": rssStart,
			"measured": map[string]any{"begin_ns": begin.Sub(started).Nanoseconds(), "end_ns": end.Sub(started).Nanoseconds()}},
		"latency": map[string]any{"simple": latency.Section()},
		"results": results,
	})
	runtime.KeepAlive(ballast)
	if !passed {
		fmt.Fprintln(os.Stderr, "gogc: self-check failed")
		os.Exit(1)
	}
}
