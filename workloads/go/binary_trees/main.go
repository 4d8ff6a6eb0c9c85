// The Go twin of workloads/binary_trees.
package main

import (
	"flag"
	"time"

	"keel/twin"
)

const leastDepth = 4

type node struct{ left, right *node }

func treeSize(depth uint64) uint64 { return 2<<depth - 1 }

func makeTree(depth uint64) *node {
	if depth == 0 {
		return &node{}
	}
	left, right := makeTree(depth-1), makeTree(depth-1)
	return &node{left, right}
}

func (n *node) count() uint64 {
	if n.left == nil {
		return 1
	}
	return 1 + n.left.count() + n.right.count()
}

type worker struct {
	t, threads, depth uint64
	intact            bool
}

func (w *worker) Operation() {
	if w.t == 0 {
		w.intact = w.intact && makeTree(w.depth+1).count() == treeSize(w.depth+1)
	}
	for depth := uint64(leastDepth); depth <= w.depth; depth += 2 {
		trees := uint64(1) << (w.depth - depth + leastDepth)
		nodes, mine := uint64(0), uint64(0)
		for i := w.t; i < trees; i += w.threads {
			nodes += makeTree(depth).count()
			mine++
		}
		w.intact = w.intact && nodes == mine*treeSize(depth)
	}
}

func main() {
	started := time.Now()
	depth := flag.Uint64("depth", 18, "of the long-lived tree (the Game's N)")
	repetitions := flag.Uint64("repetitions", 3, "of the whole program; --duration, --operations instead")
	o := twin.Parse()
	o.Repetitions(*repetitions)
	if *depth < leastDepth+2 {
		*depth = leastDepth + 2
	}
	twin.Supervise("binary_trees", o)
	longLived := makeTree(*depth)
	service := twin.Service{Started: started, Options: o}
	service.Make = func(t int) twin.Worker {
		return &worker{t: uint64(t), threads: uint64(o.Threads), depth: *depth, intact: true}
	}
	service.Check = func(workers []twin.Worker) (bool, string) {
		for _, w := range workers {
			if !w.(*worker).intact {
				return false, "a tree has lost nodes"
			}
		}
		return longLived.count() == treeSize(*depth), "every tree has all its nodes"
	}
	service.Results = func([]twin.Worker) map[string]any {
		return map[string]any{"depth": *depth, "live_bytes": treeSize(*depth) * 16}
	}
	service.Run()
}
