// The Go twin of workloads/finalizers: the documentation's own hazard, with runtime.SetFinalizer and runtime.KeepAlive.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"keel/twin"
)

type file struct {
	descriptor int
	number     uint64
}

var closed atomic.Uint64

//go:noinline
func openFile(path string, number uint64) *file {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		twin.Refuse(fmt.Sprintf("file '%s': %v", path, err))
	}
	f := &file{fd, number}
	runtime.SetFinalizer(f, func(f *file) {
		_ = syscall.Close(f.descriptor)
		closed.Add(1)
	})
	return f
}

type reads struct{ good, bad, wrong uint64 }

// Two functions, not one with a flag: what may be used later is kept alive.
//
//go:noinline
func tryWithout(right, wrong string, number uint64, r *reads) {
	f := openFile(right, number)
	readAfterCollection(f.descriptor, wrong, number, r)
}

//go:noinline
func tryKeepingAlive(right, wrong string, number uint64, r *reads) {
	f := openFile(right, number)
	readAfterCollection(f.descriptor, wrong, number, r)
	runtime.KeepAlive(f)
}

//go:noinline
func readAfterCollection(descriptor int, wrong string, number uint64, r *reads) {
	before := closed.Load()
	runtime.GC()
	// The finalizer runs on a goroutine of its own: give it time, a millisecond at most.
	for i := 0; i < 100 && closed.Load() == before; i++ {
		runtime.Gosched()
		time.Sleep(10 * time.Microsecond)
	}
	other := -1
	if number%2 != 0 {
		other, _ = syscall.Open(wrong, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	}
	content := make([]byte, 1)
	n, err := syscall.Pread(descriptor, content, 0)
	switch {
	case err != nil || n != 1:
		r.bad++
	case content[0] == 'r':
		r.good++
	default:
		r.wrong++
	}
	if other >= 0 {
		_ = syscall.Close(other)
	}
}

type waits struct {
	begin time.Time
	count atomic.Uint64
	last  atomic.Int64
}

func main() {
	started := time.Now()
	keepAlive := flag.String("keep-alive", "off", "on or off: keep the owner alive up to the read")
	tries := flag.Uint64("tries", 10000, "reads")
	objects := flag.Uint64("objects", 100000, "objects for throughput and cost")
	rounds := flag.Int("rounds", 5, "measurements of each cost, interleaved")
	o := twin.Parse()
	if *keepAlive != "on" && *keepAlive != "off" {
		twin.Refuse(fmt.Sprintf("option --keep-alive: '%s' is not one of on, off", *keepAlive))
	}
	twin.Supervise("finalizers", o)
	folder, err := os.MkdirTemp("", "keel-finalizers-")
	if err != nil {
		twin.Refuse(fmt.Sprintf("temporary folder: %v", err))
	}
	defer os.RemoveAll(folder)
	right, wrong := filepath.Join(folder, "right"), filepath.Join(folder, "wrong")
	_ = os.WriteFile(right, []byte("r"), 0o600)
	_ = os.WriteFile(wrong, []byte("w"), 0o600)
	begin := time.Now()
	r := &reads{}
	for i := uint64(0); i < *tries; i++ {
		if *keepAlive == "on" {
			tryKeepingAlive(right, wrong, i, r)
		} else {
			tryWithout(right, wrong, i, r)
		}
	}

	w := &waits{}
	held := make([]*file, *objects)
	for i := range held {
		held[i] = &file{number: uint64(i)}
		runtime.SetFinalizer(held[i], func(*file) {
			w.last.Store(time.Since(w.begin).Nanoseconds())
			w.count.Add(1)
		})
	}
	held = nil
	w.begin = time.Now()
	runtime.GC()
	for i := 0; i < 10000 && w.count.Load() < *objects; i++ {
		time.Sleep(time.Millisecond)
	}
	rate := float64(w.count.Load()) * 1e9 / float64(w.last.Load())

	costs := map[string][]float64{"none": {}, "finalizer": {}}
	for round := 0; round < *rounds; round++ {
		for _, what := range []string{"none", "finalizer"} {
			var ran atomic.Uint64
			from := time.Now()
			for i := uint64(0); i < *objects; i++ {
				f := &file{number: i}
				if what == "finalizer" {
					runtime.SetFinalizer(f, func(*file) { ran.Add(1) })
				}
				runtime.KeepAlive(f)
			}
			for i := 0; i < 2; i++ {
				runtime.GC()
			}
			for i := 0; i < 10000 && what == "finalizer" && ran.Load() < *objects; i++ {
				time.Sleep(100 * time.Microsecond)
			}
			costs[what] = append(costs[what], float64(time.Since(from).Nanoseconds())/float64(*objects))
		}
	}
	end := time.Now()
	passed := *keepAlive == "off" || r.bad+r.wrong == 0
	detail := fmt.Sprintf("%d good reads, %d of a closed descriptor, %d of another file", r.good, r.bad, r.wrong)
	if !o.Quiet && o.Report != "-" {
		twin.Printf("finalizers: keep-alive %s: %s\n", *keepAlive, detail)
	}
	twin.Tell(map[string]any{
		"workload": map[string]any{"self_check": map[string]any{"passed": passed, "detail": detail}},
		"run": map[string]any{"operations": *tries,
			"measured": map[string]any{"begin_ns": begin.Sub(started).Nanoseconds(), "end_ns": end.Sub(started).Nanoseconds()}},
		"results": map[string]any{"tries": *tries, "good_reads": r.good, "bad_reads": r.bad, "wrong_file_reads": r.wrong,
			"keep_alive": *keepAlive == "on", "cost_ns": costs,
			"finalizers": map[string]any{"finalizer": map[string]any{"objects": w.count.Load(), "per_second": uint64(rate)}}},
	})
	if !passed {
		os.RemoveAll(folder)
		os.Exit(1)
	}
}
