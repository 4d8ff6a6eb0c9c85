// The Go twin of workloads/requests.
package main

import (
	"flag"
	"fmt"
	"time"

	"keel/twin"
)

type settings struct {
	live    uint64
	objects uint64
	kept    uint64
	replace float64
	entries uint64
}

type worker struct {
	s        *settings
	rng      *twin.Rng
	table    []*twin.Link
	replaced uint64
	damaged  bool
}

func (w *worker) Operation() {
	if w.rng.Percent(w.s.replace) {
		at := w.rng.Below(w.s.entries)
		w.damaged = w.damaged || !twin.Whole(w.table[at], w.s.kept, at)
		w.table[at] = twin.MakeChain(w.s.kept, at)
		w.replaced++
	}
	dropped := w.s.objects - w.s.kept
	rest := twin.MakeChain(dropped, w.replaced)
	w.damaged = w.damaged || !twin.Whole(rest, dropped, w.replaced)
}

func main() {
	started := time.Now()
	s := &settings{live: 256 << 20}
	twin.SizeFlag("live", &s.live, "live data of the table (default 256MiB)")
	flag.Uint64Var(&s.objects, "objects", 208, "objects per request")
	flag.Uint64Var(&s.kept, "kept", 8, "of them stay, as an entry of the table")
	objectBytes := flag.Uint64("object-bytes", 96, "bytes of each: 96, Go's types have fixed sizes")
	flag.Float64Var(&s.replace, "replace", 100, "percent of requests that replace an entry")
	o := twin.Parse()
	if *objectBytes != 96 {
		twin.Refuse(fmt.Sprintf("option --object-bytes: '%d' is not 96: Go's types have fixed sizes", *objectBytes))
	}
	if s.kept > s.objects {
		twin.Refuse(fmt.Sprintf("option --kept: %d is above --objects %d", s.kept, s.objects))
	}
	s.entries = s.live / uint64(o.Threads) / (s.kept*96 + 8)
	if s.entries == 0 {
		s.entries = 1
	}
	twin.Supervise("requests", o)
	service := twin.Service{Started: started, Options: o}
	service.Make = func(t int) twin.Worker {
		w := &worker{s: s, rng: twin.NewRng(o.Seed*0x10001 + uint64(t)), table: make([]*twin.Link, s.entries)}
		for i := range w.table {
			w.table[i] = twin.MakeChain(s.kept, uint64(i))
		}
		return w
	}
	service.Check = func(workers []twin.Worker) (bool, string) {
		intact := true
		for _, each := range workers {
			w := each.(*worker)
			intact = intact && !w.damaged
			for i, head := range w.table {
				intact = intact && twin.Whole(head, s.kept, uint64(i))
			}
		}
		return intact, fmt.Sprintf("%d entries", uint64(len(workers))*s.entries)
	}
	service.Results = func(workers []twin.Worker) map[string]any {
		replaced := uint64(0)
		for _, w := range workers {
			replaced += w.(*worker).replaced
		}
		return map[string]any{"entries": uint64(len(workers)) * s.entries, "replaced": replaced, "response_bytes": s.objects * 96,
			"live_bytes": uint64(len(workers)) * s.entries * (s.kept*96 + 8)}
	}
	service.Run()
}
