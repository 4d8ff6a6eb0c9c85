// The Go twin of workloads/strings: the six ways as a Go programmer writes them.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"time"

	"keel/twin"
)

var ways = []string{"concatenate", "format", "builder", "buffer", "join", "append"}

func build(way string, pieces []string) string {
	switch way {
	case "concatenate":
		s := ""
		for _, piece := range pieces {
			s += piece
		}
		return s
	case "format":
		s := ""
		for _, piece := range pieces {
			s = fmt.Sprintf("%s%s", s, piece)
		}
		return s
	case "builder":
		var b strings.Builder
		for _, piece := range pieces {
			b.WriteString(piece)
		}
		return b.String()
	case "buffer":
		var b bytes.Buffer
		for _, piece := range pieces {
			b.WriteString(piece)
		}
		return b.String()
	case "append":
		var b []byte
		for _, piece := range pieces {
			b = append(b, piece...)
		}
		return string(b)
	}
	return strings.Join(pieces, "")
}

type result struct {
	way            string
	ns             []float64
	bytes, objects uint64
	cycles         uint32
}

func (r *result) median() float64 {
	sorted := append([]float64(nil), r.ns...)
	sort.Float64s(sorted)
	return sorted[len(sorted)/2]
}

func main() {
	started := time.Now()
	chosen := flag.String("way", "all", strings.Join(ways, ", ")+" or all")
	count := flag.Int("pieces", 64, "pieces of each string")
	size := flag.Int("piece-bytes", 16, "bytes of each piece")
	rounds := flag.Int("rounds", 5, "rounds, each way once a round")
	o := twin.Parse()
	twin.Supervise("strings", o)
	var pieces []string
	for i := 0; i < *count; i++ {
		piece := ""
		for len(piece) < *size {
			piece += fmt.Sprintf("piece-%d ", i)
		}
		pieces = append(pieces, piece[:*size])
	}
	expected := strings.Join(pieces, "")
	each := o.Operations
	if each == 0 {
		each = 20000
	}
	var results []*result
	for _, way := range ways {
		if *chosen == "all" || *chosen == way {
			results = append(results, &result{way: way})
		}
	}
	if results == nil {
		twin.Refuse(fmt.Sprintf("option --way: '%s' is not one of %s, all", *chosen, strings.Join(ways, ", ")))
	}
	intact := true
	begin := time.Now()
	for round := 0; round < *rounds; round++ {
		for _, r := range results {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			from := time.Now()
			for i := uint64(0); i < each; i++ {
				if s := build(r.way, pieces); i%1024 == 0 {
					intact = intact && s == expected
				}
			}
			r.ns = append(r.ns, float64(time.Since(from).Nanoseconds())/float64(each))
			runtime.ReadMemStats(&after)
			r.bytes, r.objects = (after.TotalAlloc-before.TotalAlloc)/each, (after.Mallocs-before.Mallocs)/each
			r.cycles += after.NumGC - before.NumGC
		}
	}
	end := time.Now()
	told := []map[string]any{}
	for _, r := range results {
		told = append(told, map[string]any{"way": r.way, "ns": r.ns, "bytes": r.bytes, "objects": r.objects, "cycles": r.cycles})
	}
	if !o.Quiet && o.Report != "-" {
		sort.Slice(results, func(i, j int) bool { return results[i].median() < results[j].median() })
		twin.Printf("%-12s %10s %12s %10s %12s\n", "way", "ns", "bytes", "objects", "collections")
		for _, r := range results {
			twin.Printf("%-12s %10.0f %12d %10d %12d\n", r.way, r.median(), r.bytes, r.objects, r.cycles)
		}
	}
	twin.Tell(map[string]any{
		"workload": map[string]any{"self_check": map[string]any{"passed": intact, "detail": "every way builds the same string"}},
		"run": map[string]any{"operations": each * uint64(*rounds*len(results)),
			"measured": map[string]any{"begin_ns": begin.Sub(started).Nanoseconds(), "end_ns": end.Sub(started).Nanoseconds()}},
		"results": map[string]any{"ways": told, "pieces": *count, "piece_bytes": *size},
	})
	if !intact {
		fmt.Fprintln(os.Stderr, "strings: self-check failed")
		os.Exit(1)
	}
}
