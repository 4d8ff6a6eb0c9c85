// Package twin is what the Go twins of the workloads share: the flags and the report of the C++ programs, as far as
// Go knows them.
package twin

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options are the common flags that apply to Go.
type Options struct {
	GoGC        int // percent, -1: off
	MemoryLimit int64
	Ballast     uint64
	Cores       int
	Threads     int
	Duration    time.Duration
	Operations  uint64
	Warmup      time.Duration
	Seed        uint64
	Report      string
	GCTrace     bool
	Quiet       bool
	Anonymous   bool
	Given       map[string]any
}

const noLimit = int64(1<<63 - 1)

// Refuse ends the program with one line and status 2.
func Refuse(message string) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", filepath.Base(os.Args[0]), message)
	os.Exit(2)
}

// ParseSize reads "10GiB"; a bare integer is bytes.
func ParseSize(text string) (uint64, error) {
	units := []struct {
		suffix string
		bytes  uint64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}
	for _, unit := range units {
		if number := strings.TrimSuffix(text, unit.suffix); unit.suffix == "" || number != text {
			value, err := strconv.ParseUint(number, 10, 64)
			if err != nil || value > uint64(noLimit)/unit.bytes {
				return 0, fmt.Errorf("'%s' is not an integer with B, KiB, MiB, GiB or TiB", text)
			}
			return value * unit.bytes, nil
		}
	}
	return 0, nil
}

type setter struct {
	show func() string
	set  func(string) error
}

func (s setter) String() string {
	if s.show == nil {
		return ""
	}
	return s.show()
}
func (s setter) Set(text string) error { return s.set(text) }

// SizeFlag adds a flag that takes a size.
func SizeFlag(name string, value *uint64, help string) {
	flag.Var(setter{func() string { return fmt.Sprint(*value) }, func(text string) error {
		size, err := ParseSize(text)
		*value = size
		return err
	}}, name, help)
}

// Parse reads the command line; the workload has added its own flags before.
func Parse() *Options {
	signal.Ignore(syscall.SIGPIPE) // a closed pipe is an error of the write
	o := &Options{MemoryLimit: noLimit, Given: map[string]any{}}
	gogc := flag.String("gogc", "", "heap growth before a collection, in percent, or off (default from GOGC, 100)")
	limit := flag.String("memory-limit", "", "soft limit of all memory, or off (default from GOMEMLIMIT)")
	SizeFlag("ballast", &o.Ballast, "one pointer-free object kept alive to the end")
	flag.IntVar(&o.Cores, "cores", 0, "GOMAXPROCS (default all)")
	flag.IntVar(&o.Threads, "threads", 1, "goroutines that serve")
	flag.DurationVar(&o.Duration, "duration", 10*time.Second, "how long the measured part runs")
	flag.Uint64Var(&o.Operations, "operations", 0, "run this many operations instead")
	flag.DurationVar(&o.Warmup, "warmup", 500*time.Millisecond, "not measured")
	flag.Uint64Var(&o.Seed, "seed", 1, "seed of every random choice")
	flag.StringVar(&o.Report, "report", "", "write the JSON report here, - for standard output")
	flag.BoolVar(&o.GCTrace, "gctrace", false, "Go's line per cycle on stderr")
	flag.BoolVar(&o.Quiet, "quiet", false, "no summary")
	flag.BoolVar(&o.Anonymous, "anonymous", false, "no host name and no paths in the report")
	flag.Parse()
	if flag.NArg() > 0 {
		Refuse(fmt.Sprintf("'%s' is not an option", flag.Arg(0)))
	}
	if o.Report != "" && os.Getenv(childMark) == "" {
		CheckOutput("--report", o.Report)
	}
	flag.Visit(func(f *flag.Flag) { o.Given[f.Name] = f.Value.String() })
	o.GoGC = debug.SetGCPercent(100)
	debug.SetGCPercent(o.GoGC)
	switch {
	case *gogc == "off":
		o.GoGC = -1
	case *gogc != "":
		percent, err := strconv.Atoi(*gogc)
		if err != nil || percent < 0 || percent > 1000000 {
			Refuse(fmt.Sprintf("option --gogc: '%s' is outside [0, 1000000] and not off", *gogc))
		}
		o.GoGC = percent
	}
	debug.SetGCPercent(o.GoGC)
	if *limit != "" && *limit != "off" {
		size, err := ParseSize(*limit)
		if err != nil {
			Refuse(fmt.Sprintf("option --memory-limit: %v, or off", err))
		}
		o.MemoryLimit = int64(size)
		debug.SetMemoryLimit(o.MemoryLimit)
	} else if *limit == "" {
		o.MemoryLimit = debug.SetMemoryLimit(-1)
	}
	if o.Threads < 1 || o.Threads > 1024 {
		Refuse(fmt.Sprintf("option --threads: '%d' is outside [1, 1024]", o.Threads))
	}
	if o.Cores > 0 {
		runtime.GOMAXPROCS(o.Cores)
	}
	if o.Operations != 0 {
		o.Warmup = 0
	}
	return o
}
