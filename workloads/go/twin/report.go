package twin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const childMark = "KEEL_TWIN_CHILD"

// Supervise runs the program again as a child with gctrace and gcpacertrace on, reads its cycles from its standard
// error, its figures from a pipe, and writes the report. It returns only in the child. The trace costs the child a
// few lines of print per cycle, with the world running.
func Supervise(workload string, o *Options) {
	if os.Getenv(childMark) != "" {
		return
	}
	os.Exit(supervise(workload, o))
}

func supervise(workload string, o *Options) int {
	results, give, err := os.Pipe()
	if err != nil {
		Refuse(fmt.Sprintf("pipe: %v", err))
	}
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	debug := "gctrace=1,gcpacertrace=1"
	if given := os.Getenv("GODEBUG"); given != "" {
		debug = given + "," + debug
	}
	child.Env = append(os.Environ(), "GODEBUG="+debug, childMark+"=1")
	child.Stdout = os.Stdout
	child.ExtraFiles = []*os.File{give}
	errors, err := child.StderrPipe()
	if err != nil {
		Refuse(fmt.Sprintf("pipe: %v", err))
	}
	started := time.Now()
	if err := child.Start(); err != nil {
		Refuse(fmt.Sprintf("start: %v", err))
	}
	give.Close()
	// A signal ends the child; what it told up to then is reported, marked incomplete.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		for number := range signals {
			_ = child.Process.Signal(number)
		}
	}()
	trace := &Trace{percent: o.GoGC}
	figures := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(results)
		figures <- all
	}()
	lines := bufio.NewScanner(errors)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	for lines.Scan() {
		text := lines.Text()
		known := trace.Line(text)
		if !known || (o.GCTrace && strings.HasPrefix(text, "gc ")) {
			fmt.Fprintln(os.Stderr, text)
		}
	}
	told := <-figures
	status := 0
	if err := child.Wait(); err != nil {
		status = 1
		if exit, ok := err.(*exec.ExitError); ok {
			status = exit.ExitCode()
			if signalled, ok := exit.Sys().(syscall.WaitStatus); ok && signalled.Signaled() {
				status = 128 + int(signalled.Signal())
			}
		}
	}
	report := document(workload, o, trace, started, told, status == 0)
	var printed struct {
		Failure string `json:"not_printed"`
	}
	if json.Unmarshal(told, &printed) == nil && printed.Failure != "" {
		fmt.Fprintf(os.Stderr, "%s: standard output %s\n", workload, printed.Failure)
		if status == 0 {
			status = 1
		}
	}
	if o.Report != "" {
		if err := write(report, o.Report); err != nil {
			fmt.Fprintf(os.Stderr, "%s: report: '%s' %v\n", workload, o.Report, err)
			return 1
		}
	}
	return status
}

func document(workload string, o *Options, trace *Trace, started time.Time, told []byte, complete bool) map[string]any {
	child := map[string]any{}
	if json.Unmarshal(told, &child) != nil {
		complete = false
	}
	section := func(name string) map[string]any {
		if s, ok := child[name].(map[string]any); ok {
			return s
		}
		return map[string]any{}
	}
	run := section("run")
	run["started_unix_ns"] = started.UnixNano()
	run["wall_ns"] = time.Since(started).Nanoseconds()
	collector := map[string]any{"name": "go", "version": runtime.Version(), "goal": "gogc", "ballast_bytes": o.Ballast}
	if o.GoGC >= 0 {
		collector["gogc_percent"] = o.GoGC
	}
	if o.MemoryLimit != noLimit {
		collector["memory_limit_bytes"] = o.MemoryLimit
	}
	about := section("workload")
	about["name"], about["arguments"], about["seed"], about["threads"] = workload, o.Given, o.Seed, o.Threads
	cycles := trace.Cycles
	if cycles == nil {
		cycles = []map[string]any{}
	}
	report := map[string]any{
		"schema": "keel.report", "schema_version": 1, "complete": complete, "workload": about, "collector": collector,
		"environment": environment(o), "run": run, "cycles": cycles, "pauses": []any{}, "pause_totals": []any{},
		"threads": []any{}, "samples": []any{}, "latency": section("latency"),
		"events": map[string]any{"recorded": len(cycles), "dropped": trace.Unread},
	}
	for _, name := range []string{"memstats", "results"} {
		if _, known := child[name]; known {
			report[name] = child[name]
		}
	}
	return report
}

func environment(o *Options) map[string]any {
	env := map[string]any{"cores": runtime.NumCPU(), "compiler": runtime.Version(), "page_bytes": os.Getpagesize()}
	if name, err := os.Hostname(); err == nil && !o.Anonymous {
		env["hostname"] = name
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		env["kernel"] = strings.TrimSpace(string(release))
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, line := range strings.Split(string(info), "\n") {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				env["cpu_model"] = strings.TrimSpace(value)
				break
			}
		}
	}
	return env
}

func write(report map[string]any, path string) error {
	text, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		return err
	}
	return WriteOutput(path, append(text, '\n'))
}

// Resident returns the resident and peak resident bytes of this process.
func Resident() (now, peak uint64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for _, line := range strings.Split(string(status), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseUint(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kib << 10
		case "VmHWM:":
			peak = kib << 10
		}
	}
	return now, peak
}

// Tell hands the child's figures to its supervisor: sections of the report.
func Tell(sections map[string]any) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	sections["memstats"] = stats
	if notPrinted != nil {
		sections["not_printed"] = notPrinted.Error()
	}
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	run := sections["run"].(map[string]any)
	run["user_cpu_ns"] = usage.Utime.Nano()
	run["system_cpu_ns"] = usage.Stime.Nano()
	_, run["peak_rss_bytes"] = Resident()
	out := os.NewFile(3, "figures")
	if err := json.NewEncoder(out).Encode(sections); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	out.Close()
}
