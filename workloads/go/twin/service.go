package twin

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// A Worker repeats one operation; it has its own goroutine.
type Worker interface {
	Operation()
}

// A Service is the frame around a workload: goroutines, warm-up, the measured part, the report.
type Service struct {
	Started time.Time
	Options *Options
	Make    func(t int) Worker
	// Check says whether all is well, and what holds or is wrong.
	Check func(workers []Worker) (bool, string)
	// Results is what the workload alone measures.
	Results func(workers []Worker) map[string]any
}

// Repetitions sets the number of operations unless one was given, as repeat_by_default() in options.cc.
func (o *Options) Repetitions(each uint64) {
	_, operations := o.Given["operations"]
	_, duration := o.Given["duration"]
	if operations || duration {
		return
	}
	o.Operations = each * uint64(o.Threads)
	o.Warmup = 0
}

func (s *Service) parallel(work func(t int)) {
	var group sync.WaitGroup
	for t := 0; t < s.Options.Threads; t++ {
		group.Add(1)
		go func(t int) {
			defer group.Done()
			work(t)
		}(t)
	}
	group.Wait()
}

// Run does all of it and ends the process.
func (s *Service) Run() {
	o := s.Options
	var ballast []byte
	if o.Ballast != 0 {
		ballast = make([]byte, o.Ballast)
	}
	workers := make([]Worker, o.Threads)
	latencies := make([]Histogram, o.Threads)
	counts := make([]uint64, o.Threads)
	s.parallel(func(t int) { workers[t] = s.Make(t) })
	debug.FreeOSMemory()
	rssStart, _ := Resident()
	var stop atomic.Bool
	begin := time.Now()
	measureFrom := begin.Add(o.Warmup)
	if o.Operations == 0 {
		time.AfterFunc(o.Warmup+o.Duration, func() { stop.Store(true) })
	}
	s.parallel(func(t int) {
		quota := ^uint64(0)
		if o.Operations != 0 {
			quota = o.Operations / uint64(o.Threads)
			if uint64(t) < o.Operations%uint64(o.Threads) {
				quota++
			}
		}
		from := time.Now()
		for n := uint64(0); n < quota && !stop.Load(); n++ {
			workers[t].Operation()
			now := time.Now()
			if !now.Before(measureFrom) {
				latencies[t].Record(int64(now.Sub(from)))
			}
			from = now
			counts[t]++
		}
	})
	end := time.Now()
	debug.FreeOSMemory()
	rssEnd, _ := Resident()
	latency := &Histogram{}
	operations := uint64(0)
	for t := range workers {
		latency.Merge(&latencies[t])
		operations += counts[t]
	}
	passed, detail := s.Check(workers)
	Tell(map[string]any{
		"workload": map[string]any{"self_check": map[string]any{"passed": passed, "detail": detail}},
		"run": map[string]any{"operations": operations, "rss_start_bytes": rssStart, "rss_end_bytes": rssEnd,
			"measured": map[string]any{"begin_ns": measureFrom.Sub(s.Started).Nanoseconds(),
				"end_ns": end.Sub(s.Started).Nanoseconds()}},
		"latency": map[string]any{"simple": latency.Section()},
		"results": s.Results(workers),
	})
	runtime.KeepAlive(ballast)
	runtime.KeepAlive(workers)
	if !passed {
		fmt.Fprintln(os.Stderr, "self-check failed:", detail)
		os.Exit(1)
	}
	os.Exit(0)
}
