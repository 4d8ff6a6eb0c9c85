// The Go twin of workloads/gcbench.
package main

import (
	"flag"
	"time"

	"keel/twin"
)

const (
	leastDepth = 4
	arraySize  = 500000
)

type node struct {
	left, right *node
	i, j        int32
}

func treeSize(depth uint64) uint64 { return 2<<depth - 1 }

func makeTree(depth uint64) *node {
	if depth == 0 {
		return &node{}
	}
	left, right := makeTree(depth-1), makeTree(depth-1)
	return &node{left: left, right: right}
}

func (n *node) populate(depth uint64) {
	if depth == 0 {
		return
	}
	n.left, n.right = &node{}, &node{}
	n.left.populate(depth - 1)
	n.right.populate(depth - 1)
}

func (n *node) count() uint64 {
	if n.left == nil {
		return 1
	}
	return 1 + n.left.count() + n.right.count()
}

type worker struct {
	depth  uint64
	intact bool
}

var sink *node // what is made escapes to the heap

func (w *worker) Operation() {
	sink = makeTree(w.depth + 2)
	sink = nil
	longLived := &node{}
	longLived.populate(w.depth)
	array := make([]float64, arraySize)
	for i := 1; i < arraySize/2; i++ {
		array[i] = 1 / float64(i)
	}
	for depth := uint64(leastDepth); depth <= w.depth; depth += 2 {
		count := 2 * treeSize(w.depth+2) / treeSize(depth)
		for i := uint64(0); i < count; i++ {
			tree := &node{}
			tree.populate(depth)
		}
		for i := uint64(0); i < count; i++ {
			tree := makeTree(depth)
			if i == 0 {
				w.intact = w.intact && tree.count() == treeSize(depth)
			}
		}
	}
	w.intact = w.intact && longLived.count() == treeSize(w.depth) && array[1000] == 1.0/1000
}

func main() {
	started := time.Now()
	depth := flag.Uint64("depth", 16, "of the long-lived tree and the largest others")
	repetitions := flag.Uint64("repetitions", 10, "on each thread; --duration, --operations instead")
	o := twin.Parse()
	o.Repetitions(*repetitions)
	twin.Supervise("gcbench", o)
	service := twin.Service{Started: started, Options: o}
	service.Make = func(int) twin.Worker { return &worker{depth: *depth, intact: true} }
	service.Check = func(workers []twin.Worker) (bool, string) {
		for _, w := range workers {
			if !w.(*worker).intact {
				return false, "a tree has lost nodes"
			}
		}
		return true, "every tree counted has all its nodes"
	}
	service.Results = func(workers []twin.Worker) map[string]any {
		return map[string]any{"depth": *depth, "live_bytes": uint64(len(workers)) * (treeSize(*depth)*24 + 8*arraySize)}
	}
	service.Run()
}
