// The Go twin of workloads/maps: the same entries in Go's own map, looked up in random order, collected in full.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"keel/twin"
)

var forms = []string{"string-int", "string-string", "bytes12-int", "int-int", "int-pointer", "bytes12-bytes129", "int-bytes128"}

type box struct{ number uint64 }

type settings struct {
	form        string
	entries     uint64
	collections uint64
	passes      uint64
}

type program struct {
	o       *twin.Options
	s       settings
	keys    []string
	results []map[string]any
	intact  bool
}

const odd = 0x9e3779b97f4a7c15

func scattered(i uint64) uint64 { return i * odd }

// The first of equal keys, as keep_distinct() in keys.cc.
func distinct(keys *twin.Keys) []string {
	seen := make(map[string]bool, keys.Count())
	var list []string
	for i := 0; i < keys.Count(); i++ {
		if key := keys.Key(i); !seen[key] {
			seen[key] = true
			list = append(list, key)
		}
	}
	return list
}

func (p *program) text(i uint64) string {
	n := uint64(len(p.keys))
	key := p.keys[i%n]
	if i >= n {
		return key + "#" + strconv.FormatUint(i/n, 10)
	}
	return string(append([]byte(nil), key...))
}

func (p *program) number(i uint64) uint64 { return scattered(i) }

func (p *program) bytes12(i uint64) (key [12]byte) {
	n := scattered(i)
	for b := 0; b < 8; b++ {
		key[b] = byte(n >> (8 * b))
	}
	for b := 0; b < 4; b++ {
		key[8+b] = byte(i >> (8 * b))
	}
	return key
}

func processCPU() int64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func run[K comparable, V any](p *program, form string, key func(uint64) K, value func(uint64) V, right func(V, uint64) bool) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	m := make(map[K]V)
	for i := uint64(0); i < p.s.entries; i++ {
		m[key(i)] = value(i)
	}
	build := time.Since(begin)
	runtime.GC()
	runtime.ReadMemStats(&after)
	result := map[string]any{"form": form, "bytes": after.HeapAlloc - before.HeapAlloc,
		"objects": after.HeapObjects - before.HeapObjects, "build_ns": build.Nanoseconds()}

	order := make([]K, 0, p.s.entries)
	for k := range m {
		order = append(order, k)
	}
	rng := twin.NewRng(p.o.Seed)
	for i := uint64(len(order)); i > 1; i-- {
		j := rng.Below(i)
		order[i-1], order[j] = order[j], order[i-1]
	}
	var lookups []float64
	for pass := uint64(0); pass < p.s.passes; pass++ {
		found := uint64(0)
		begin := time.Now()
		for _, k := range order {
			if _, ok := m[k]; ok {
				found++
			}
		}
		lookups = append(lookups, float64(time.Since(begin).Nanoseconds())/float64(len(order)))
		p.intact = p.intact && found == uint64(len(order))
	}
	order = nil
	result["lookup_ns"] = lookups

	runtime.GC()
	var times, cpu []int64
	for i := uint64(0); i < p.s.collections; i++ {
		used := processCPU()
		begin := time.Now()
		runtime.GC()
		times = append(times, time.Since(begin).Nanoseconds())
		cpu = append(cpu, processCPU()-used)
	}
	result["collection_ns"] = times
	result["collection_cpu_ns"] = cpu
	for i := uint64(0); i < p.s.entries; i++ {
		v, ok := m[key(i)]
		p.intact = p.intact && ok && right(v, i)
	}
	p.results = append(p.results, result)
}

func (p *program) runForm(form string) {
	same := func(v, i uint64) bool { return v == i }
	itself := func(i uint64) uint64 { return i }
	switch form {
	case "string-int":
		run(p, form, p.text, itself, same)
	case "string-string":
		run(p, form, p.text, func(i uint64) string { return "value-" + strconv.FormatUint(i, 10) },
			func(v string, i uint64) bool { return v == "value-"+strconv.FormatUint(i, 10) })
	case "bytes12-int":
		run(p, form, p.bytes12, itself, same)
	case "int-int":
		run(p, form, p.number, itself, same)
	case "int-pointer":
		run(p, form, p.number, func(i uint64) *box { return &box{i} }, func(v *box, i uint64) bool { return v.number == i })
	case "bytes12-bytes129":
		run(p, form, p.bytes12, func(i uint64) (v [129]byte) { v[0], v[128] = byte(i), byte(i>>8); return },
			func(v [129]byte, i uint64) bool { return v[0] == byte(i) && v[128] == byte(i>>8) })
	case "int-bytes128":
		run(p, form, p.number, func(i uint64) (v [128]byte) { v[0], v[127] = byte(i), byte(i>>8); return },
			func(v [128]byte, i uint64) bool { return v[0] == byte(i) && v[127] == byte(i>>8) })
	}
}

func median[T int64 | float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := append([]T(nil), values...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	return sorted[len(sorted)/2]
}

func main() {
	s := settings{}
	started := time.Now()
	flag.StringVar(&s.form, "form", "all", strings.Join(forms, ", ")+" or all")
	flag.Uint64Var(&s.entries, "entries", 1000000, "entries of each map")
	flag.Uint64Var(&s.collections, "collections", 20, "full collections timed, each form")
	flag.Uint64Var(&s.passes, "passes", 5, "times every key is looked up")
	compare := flag.Bool("compare", false, "all forms, with the table (as --form all)")
	keysFile := flag.String("keys", "", "file of keys, one a line (default Debian's package lists)")
	o := twin.Parse()
	if *compare {
		s.form = "all"
	}
	known := s.form == "all"
	for _, form := range forms {
		known = known || form == s.form
	}
	if !known {
		twin.Refuse(fmt.Sprintf("option --form: '%s' is not one of %s, all", s.form, strings.Join(forms, ", ")))
	}
	twin.Supervise("maps", o)

	p := &program{o: o, s: s, keys: distinct(twin.LoadKeys(*keysFile)), intact: true}
	var ballast []byte
	if o.Ballast != 0 {
		ballast = make([]byte, o.Ballast)
	}
	debug.FreeOSMemory()
	rssStart, _ := twin.Resident()
	begin := time.Now()
	for _, form := range forms {
		if s.form == "all" || s.form == form {
			p.runForm(form)
		}
	}
	end := time.Now()
	if !o.Quiet && o.Report != "-" {
		twin.Printf("%-17s %10s %10s %12s %12s %18s\n", "form", "MiB", "objects", "build, ms", "lookup, ns", "collection, ms")
		for _, r := range p.results {
			twin.Printf("%-17s %10.1f %10d %12.1f %12.1f %18.3f\n", r["form"], float64(r["bytes"].(uint64))/(1<<20), r["objects"],
				float64(r["build_ns"].(int64))/1e6, median(r["lookup_ns"].([]float64)),
				float64(median(r["collection_ns"].([]int64)))/1e6)
		}
	}
	detail := fmt.Sprintf("%d forms", len(p.results))
	twin.Tell(map[string]any{
		"workload": map[string]any{"self_check": map[string]any{"passed": p.intact, "detail": detail}},
		"run": map[string]any{"operations": s.entries * uint64(len(p.results)), "rss_start_bytes": rssStart,
			"measured": map[string]any{"begin_ns": begin.Sub(started).Nanoseconds(), "end_ns": end.Sub(started).Nanoseconds()}},
		"results": map[string]any{"map": "go's", "entries": s.entries, "forms": p.results},
	})
	runtime.KeepAlive(ballast)
	if !p.intact {
		fmt.Fprintln(os.Stderr, "maps: self-check failed")
		os.Exit(1)
	}
}
