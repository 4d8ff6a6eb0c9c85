// The Go twin of workloads/ballast: the same store, the same requests in the same order, on the real Go runtime.
package main

import (
	"flag"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"keel/twin"
)

const valueWords = 24

// Entry is 240 bytes, as in store.h.
type Entry struct {
	next    *Entry
	key     string
	hash    uint64
	version uint64
	value   [valueWords]uint64
}

// Part is 96 bytes: one object of a response.
type Part struct {
	next     *Part
	source   *Entry
	sequence uint64
	tail     [72]byte
}

func hashOf(key string) uint64 {
	h := uint64(0xcbf29ce484222325) // FNV-1a
	for i := 0; i < len(key); i++ {
		h = (h ^ uint64(key[i])) * 0x100000001b3
	}
	return h ^ (h >> 29)
}

func (e *Entry) word(i int) uint64 { return e.hash*uint64(i+1) + e.version }

func (e *Entry) fill() {
	for i := range e.value {
		e.value[i] = e.word(i)
	}
}

func (e *Entry) intact() bool {
	for i := range e.value {
		if e.value[i] != e.word(i) {
			return false
		}
	}
	return true
}

// Store is a hash table with chains; one goroutine owns it.
type Store struct {
	table   []*Entry
	entries uint64
	live    uint64
}

func newStore(entries uint64) *Store {
	if entries < 16 {
		entries = 16
	}
	buckets := uint64(1) << bits.Len64(entries-1)
	return &Store{table: make([]*Entry, buckets), live: buckets * 8}
}

func slotBytes(n int) uint64 {
	if n <= 1024 {
		return uint64(n+15) &^ 15
	}
	return uint64(n)
}

func entryBytes(key int) uint64 { return 240 + slotBytes(key) }

func (s *Store) insert(key string) {
	text := string(append([]byte(nil), key...))
	e := &Entry{key: text, hash: hashOf(text)}
	e.fill()
	place := &s.table[e.hash&uint64(len(s.table)-1)]
	e.next = *place
	*place = e
	s.entries++
	s.live += entryBytes(len(text))
}

func (s *Store) find(key string) *Entry {
	hash := hashOf(key)
	e := s.table[hash&uint64(len(s.table)-1)]
	for e != nil && !(e.hash == hash && e.key == key) {
		e = e.next
	}
	return e
}

func (s *Store) replace(old *Entry) *Entry {
	e := &Entry{next: old.next, key: old.key, hash: old.hash, version: old.version + 1}
	e.fill()
	place := &s.table[e.hash&uint64(len(s.table)-1)]
	for *place != old {
		place = &(*place).next
	}
	*place = e
	return e
}

func (s *Store) check() (entries, versions uint64, intact bool) {
	intact = true
	for _, e := range s.table {
		for ; e != nil; e = e.next {
			intact = intact && e.intact()
			entries++
			versions += e.version
		}
	}
	return entries, versions, intact
}

type settings struct {
	live    uint64
	objects uint64
	replace float64
}

type worker struct {
	store    *Store
	latency  twin.Histogram
	requests uint64
	measured uint64
	replaced uint64
	damaged  bool
}

type program struct {
	o       *twin.Options
	s       settings
	keys    *twin.Keys
	workers []*worker
	stop    atomic.Bool
}

func (p *program) keyAt(i uint64) string {
	n := uint64(p.keys.Count())
	key := p.keys.Key(int(i % n))
	if i < n {
		return key
	}
	return key + "#" + strconv.FormatUint(i/n, 10)
}

func (p *program) build(t int) {
	w := p.workers[t]
	share := p.s.live / uint64(len(p.workers))
	each := entryBytes(p.keys.Bytes()/p.keys.Count()) + 16
	entries := share / each
	if entries == 0 {
		entries = 1
	}
	w.store = newStore(entries)
	for i := uint64(t); w.store.entries == 0 || w.store.live < share; i += uint64(len(p.workers)) {
		w.store.insert(p.keyAt(i))
	}
}

func (p *program) request(w *worker, t int, rng *twin.Rng) {
	index := rng.Below(w.store.entries)*uint64(len(p.workers)) + uint64(t)
	entry := w.store.find(p.keyAt(index))
	var head *Part
	for i := uint64(0); i < p.s.objects; i++ {
		head = &Part{next: head, source: entry, sequence: i}
	}
	if rng.Percent(p.s.replace) {
		w.store.replace(entry)
		w.replaced++
	}
	expected := p.s.objects
	for part := head; part != nil; part = part.next {
		expected--
		if part.sequence != expected {
			w.damaged = true
		}
	}
	if expected != 0 {
		w.damaged = true
	}
}

func (p *program) serve(t int, measureFrom time.Time) {
	w := p.workers[t]
	rng := twin.NewRng(p.o.Seed*0x10001 + uint64(t))
	quota := ^uint64(0)
	if p.o.Operations != 0 {
		quota = p.o.Operations / uint64(len(p.workers))
		if uint64(t) < p.o.Operations%uint64(len(p.workers)) {
			quota++
		}
	}
	begin := time.Now()
	for n := uint64(0); n < quota && !p.stop.Load(); n++ {
		p.request(w, t, rng)
		end := time.Now()
		if !end.Before(measureFrom) {
			w.latency.Record(int64(end.Sub(begin)))
			w.measured++
		}
		begin = end
		w.requests++
	}
}

func (p *program) inParallel(work func(t int)) {
	var group sync.WaitGroup
	for t := range p.workers {
		group.Add(1)
		go func(t int) {
			defer group.Done()
			work(t)
		}(t)
	}
	group.Wait()
}

func main() {
	s := settings{live: 64 << 20}
	started := time.Now()
	twin.SizeFlag("live", &s.live, "live data of the store (default 64MiB)")
	flag.Uint64Var(&s.objects, "objects", 64, "objects per response")
	objectBytes := flag.Uint64("object-bytes", 96, "bytes of each: 96, Go's types have fixed sizes")
	flag.Float64Var(&s.replace, "replace", 1, "percent of requests that replace an entry")
	keysFile := flag.String("keys", "", "file of keys, one a line (default Debian's package lists)")
	o := twin.Parse()
	if *objectBytes != 96 {
		twin.Refuse(fmt.Sprintf("option --object-bytes: '%d' is not 96: Go's types have fixed sizes", *objectBytes))
	}
	twin.Supervise("ballast", o)

	p := &program{o: o, s: s, keys: twin.LoadKeys(*keysFile)}
	var ballast []byte
	if o.Ballast != 0 {
		ballast = make([]byte, o.Ballast)
	}
	for t := 0; t < o.Threads; t++ {
		p.workers = append(p.workers, &worker{})
	}
	p.inParallel(p.build)
	debug.FreeOSMemory()
	rssStart, _ := twin.Resident()
	begin := time.Now()
	measureFrom := begin.Add(o.Warmup)
	if o.Operations == 0 {
		go func() {
			time.Sleep(o.Warmup + o.Duration)
			p.stop.Store(true)
		}()
	}
	p.inParallel(func(t int) { p.serve(t, measureFrom) })
	end := time.Now()
	debug.FreeOSMemory()
	rssEnd, _ := twin.Resident()
	finish(p, started, measureFrom, end, rssStart, rssEnd)
	runtime.KeepAlive(ballast)
}

func finish(p *program, started, measureFrom, end time.Time, rssStart, rssEnd uint64) {
	var entries, known, versions, replaced, requests, measured, live uint64
	intact := true
	latency := &twin.Histogram{}
	for _, w := range p.workers {
		n, v, ok := w.store.check()
		entries += n
		versions += v
		intact = intact && ok && !w.damaged
		known += w.store.entries
		live += w.store.live
		replaced += w.replaced
		requests += w.requests
		measured += w.measured
		latency.Merge(&w.latency)
	}
	passed := intact && entries == known && versions == replaced
	detail := fmt.Sprintf("%d entries of %d, %d versions of %d", entries, known, versions, replaced)
	twin.Tell(map[string]any{
		"workload": map[string]any{"self_check": map[string]any{"passed": passed, "detail": detail}},
		"run": map[string]any{"operations": requests, "rss_start_bytes": rssStart, "rss_end_bytes": rssEnd,
			"measured": map[string]any{"begin_ns": measureFrom.Sub(started).Nanoseconds(),
				"end_ns": end.Sub(started).Nanoseconds()}},
		"latency": map[string]any{"simple": latency.Section()},
		"results": map[string]any{"requests": requests, "measured_requests": measured, "replaced": replaced,
			"entries": entries, "live_bytes": live},
	})
	if !passed {
		fmt.Fprintln(os.Stderr, "ballast: self-check failed:", detail)
		os.Exit(1)
	}
}
