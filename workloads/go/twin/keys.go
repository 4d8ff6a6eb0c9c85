package twin

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"unsafe"
)

// Keys lie outside the Go heap, as they do in the C++ programs: what the collector sees is the store alone.
type Keys struct {
	Source string
	text   []byte   // mapped
	ends   []uint32 // mapped
	count  int
}

const mostKeys = 2000000

func mapBytes(n int) []byte {
	memory, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		Refuse(fmt.Sprintf("keys: mmap of %d bytes: %v", n, err))
	}
	return memory
}

// LoadKeys reads a file of keys, one a line, or Debian's package lists if there is none given.
func LoadKeys(file string) *Keys {
	keys := &Keys{Source: "Debian package lists"}
	paths := []string{file}
	least := 1
	if file == "" {
		paths, _ = filepath.Glob("/var/lib/dpkg/info/*.list")
		sort.Strings(paths)
		least = 3
	} else {
		keys.Source = file
	}
	total := 0
	lines := 0
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			Refuse(fmt.Sprintf("option --keys: '%s' cannot be read: %v", path, err))
		}
		total += int(info.Size())
		lines += int(info.Size())/2 + 1
	}
	if lines > mostKeys {
		lines = mostKeys
	}
	keys.text = mapBytes(total + 1)[:0]
	words := mapBytes(4 * (lines + 1))
	keys.ends = unsafe.Slice((*uint32)(unsafe.Pointer(&words[0])), lines+1)
	for _, path := range paths {
		in, err := os.Open(path)
		if err != nil {
			Refuse(fmt.Sprintf("option --keys: '%s' cannot be read: %v", path, err))
		}
		scanner := bufio.NewScanner(in)
		for scanner.Scan() && keys.count < lines {
			if line := scanner.Bytes(); len(line) >= least {
				keys.text = append(keys.text, line...)
				keys.count++
				keys.ends[keys.count] = uint32(len(keys.text))
			}
		}
		in.Close()
	}
	if keys.count == 0 {
		Refuse(fmt.Sprintf("option --keys: '%s' holds no key", keys.Source))
	}
	return keys
}

// Count is the number of keys.
func (k *Keys) Count() int { return k.count }

// Bytes is the length of all keys together.
func (k *Keys) Bytes() int { return len(k.text) }

// Key is key i, without a copy: it points outside the heap.
func (k *Keys) Key(i int) string {
	line := k.text[k.ends[i]:k.ends[i+1]]
	return *(*string)(unsafe.Pointer(&line))
}
