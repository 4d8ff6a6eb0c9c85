// The Go twin of workloads/channels: Go's own channels, and the same objects through a slice with a sync.Mutex.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"keel/twin"
)

// Parcel is 96 bytes.
type parcel struct {
	inner    *parcel
	producer uint64
	number   uint64
	sent     time.Time
	tail     [48]byte
}

type queue struct {
	mu           sync.Mutex
	room, filled *sync.Cond
	elements     []*parcel
	capacity     int
	closed       bool
}

func newQueue(capacity int) *queue {
	if capacity < 1 {
		capacity = 1
	}
	q := &queue{capacity: capacity}
	q.room, q.filled = sync.NewCond(&q.mu), sync.NewCond(&q.mu)
	return q
}

func (q *queue) send(p *parcel) {
	q.mu.Lock()
	for len(q.elements) >= q.capacity {
		q.room.Wait()
	}
	q.elements = append(q.elements, p)
	q.filled.Signal()
	q.mu.Unlock()
}

func (q *queue) receive() *parcel {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.elements) == 0 && !q.closed {
		q.filled.Wait()
	}
	if len(q.elements) == 0 {
		return nil
	}
	p := q.elements[0]
	q.elements = q.elements[1:]
	q.room.Signal()
	return p
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.filled.Broadcast()
	q.mu.Unlock()
}

func main() {
	started := time.Now()
	capacity := flag.Int("capacity", 64, "elements the channel holds; 0: unbuffered")
	producers := flag.Int("producers", 1, "goroutines that send")
	consumers := flag.Int("consumers", 1, "goroutines that receive")
	o := twin.Parse()
	twin.Supervise("channels", o)
	var ballast []byte
	if o.Ballast != 0 {
		ballast = make([]byte, o.Ballast)
	}
	var mu sync.Mutex
	var sent, received, sumSent, sumReceived uint64
	damaged := false
	latency := &twin.Histogram{}
	channel := make(chan *parcel, *capacity)
	var sending, receiving sync.WaitGroup
	rssStart, _ := twin.Resident()
	begin := time.Now()
	deadline := begin.Add(o.Duration)
	for p := 0; p < *producers; p++ {
		sending.Add(1)
		go func(p int) {
			defer sending.Done()
			most := ^uint64(0)
			if o.Operations != 0 {
				most = o.Operations / uint64(*producers)
				if uint64(p) < o.Operations%uint64(*producers) {
					most++
				}
			}
			n, sum := uint64(0), uint64(0)
			for ; n < most && (o.Operations != 0 || time.Now().Before(deadline)); n++ {
				channel <- &parcel{inner: &parcel{number: ^n}, producer: uint64(p), number: n, sent: time.Now()}
				sum += n
			}
			mu.Lock()
			sent, sumSent = sent+n, sumSent+sum
			mu.Unlock()
		}(p)
	}
	for c := 0; c < *consumers; c++ {
		receiving.Add(1)
		go func() {
			defer receiving.Done()
			own := &twin.Histogram{}
			next := make([]uint64, *producers)
			n, sum, bad := uint64(0), uint64(0), false
			for p := range channel {
				own.Record(int64(time.Since(p.sent)))
				bad = bad || p.inner.number != ^p.number || p.number < next[p.producer]
				next[p.producer] = p.number + 1
				n, sum = n+1, sum+p.number
			}
			mu.Lock()
			received, sumReceived, damaged = received+n, sumReceived+sum, damaged || bad
			latency.Merge(own)
			mu.Unlock()
		}()
	}
	sending.Wait()
	close(channel)
	receiving.Wait()
	channelTime := time.Since(begin)
	end := time.Now()

	q := newQueue(*capacity)
	begin = time.Now()
	for p := 0; p < *producers; p++ {
		sending.Add(1)
		go func(p uint64) {
			defer sending.Done()
			for n := p; n < sent; n += uint64(*producers) {
				q.send(&parcel{inner: &parcel{number: ^n}, number: n})
			}
		}(uint64(p))
	}
	for c := 0; c < *consumers; c++ {
		receiving.Add(1)
		go func() {
			defer receiving.Done()
			for q.receive() != nil {
			}
		}()
	}
	sending.Wait()
	q.close()
	receiving.Wait()
	queueTime := time.Since(begin)

	passed := sent == received && sumSent == sumReceived && !damaged
	detail := fmt.Sprintf("%d of %d objects arrived whole and in order", received, sent)
	channelRate, queueRate := float64(received)/channelTime.Seconds(), float64(received)/queueTime.Seconds()
	if !o.Quiet && o.Report != "-" {
		twin.Printf("channels: %.2f million objects a second; a mutex and a slice: %.2f (%.2f times as many)\n", channelRate/1e6,
			queueRate/1e6, queueRate/channelRate)
	}
	twin.Tell(map[string]any{
		"workload": map[string]any{"self_check": map[string]any{"passed": passed, "detail": detail}},
		"run": map[string]any{"operations": received, "rss_start_bytes": rssStart,
			"measured": map[string]any{"begin_ns": begin.Sub(started).Nanoseconds() - channelTime.Nanoseconds(),
				"end_ns": end.Sub(started).Nanoseconds()}},
		"latency": map[string]any{"simple": latency.Section()},
		"results": map[string]any{"sent": sent, "received": received, "capacity": *capacity, "producers": *producers,
			"consumers": *consumers, "channel_per_second": channelRate, "mutex_queue_per_second": queueRate},
	})
	runtime.KeepAlive(ballast)
	if !passed {
		fmt.Fprintln(os.Stderr, "channels: self-check failed:", detail)
		os.Exit(1)
	}
}
