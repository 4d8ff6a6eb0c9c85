package twin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Where the bytes of an output go. The rules are those of reports/output/output_place.h: links are followed and stay, a
// regular file is written beside and renamed, one of this process's descriptors is written at its own offset, and
// whatever else is there is written through.
type place struct {
	path       string      // links followed
	info       fs.FileInfo // of what is there; nil: nothing yet
	descriptor int         // -1: none
	through    bool
}

const mostLinks = 40 // as the kernel

func findPlace(path string) (place, error) {
	if path == "-" {
		return descriptorPlace(1)
	}
	if path == "" {
		return place{}, errors.New("is not a file")
	}
	for at, links := path, 0; links <= mostLinks; links++ {
		name := at[strings.LastIndexByte(at, '/')+1:]
		above := strings.TrimSuffix(at, name)
		if above == "" {
			above = "."
		}
		folder, err := filepath.EvalSymlinks(above)
		if err == nil {
			folder, err = filepath.Abs(folder)
		}
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
				return place{}, fmt.Errorf("cannot be written: no folder '%s'", above)
			}
			return place{}, unwritable(err)
		}
		if name == "" || name == "." || name == ".." {
			return place{}, errors.New("is a folder")
		}
		if holdsOwnDescriptors(folder) {
			number, err := strconv.Atoi(name)
			if err != nil {
				return place{}, unwritable(syscall.ENOENT)
			}
			return descriptorPlace(number)
		}
		found := place{path: filepath.Join(folder, name), descriptor: -1}
		info, err := os.Lstat(found.path)
		if errors.Is(err, fs.ErrNotExist) {
			return found, checkFolder(folder)
		}
		if err != nil {
			return place{}, unwritable(err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			found.info = info
			found.through = !info.Mode().IsRegular()
			if err := checkThere(found); err != nil || found.through {
				return found, err
			}
			return found, checkFolder(folder)
		}
		if isInProc(folder) {
			// Not a path but a door: what lies behind it may have no name, or one elsewhere.
			if found.info, err = os.Stat(found.path); err != nil {
				return place{}, unwritable(err)
			}
			found.through = true
			return found, checkThere(found)
		}
		target, err := os.Readlink(found.path)
		if err != nil {
			return place{}, unwritable(err)
		}
		if at = target; !filepath.IsAbs(target) {
			at = folder + "/" + target
		}
	}
	return place{}, unwritable(syscall.ELOOP)
}

func unwritable(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		err = number
	}
	return fmt.Errorf("cannot be written: %w", err)
}

func holdsOwnDescriptors(folder string) bool {
	process := "/proc/" + strconv.Itoa(os.Getpid())
	return folder == process+"/fd" || (strings.HasPrefix(folder, process+"/task/") && strings.HasSuffix(folder, "/fd"))
}

func isInProc(folder string) bool {
	const procSuperMagic = 0x9fa0 // linux/magic.h
	var system syscall.Statfs_t
	return syscall.Statfs(folder, &system) == nil && int64(system.Type) == procSuperMagic
}

func descriptorPlace(number int) (place, error) {
	flags, _, failed := syscall.Syscall(syscall.SYS_FCNTL, uintptr(number), syscall.F_GETFL, 0)
	if failed != 0 {
		return place{}, unwritable(failed)
	}
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY {
		return place{}, fmt.Errorf("cannot be written: descriptor %d is not open for writing", number)
	}
	return place{descriptor: number, through: true}, nil
}

const mayWrite, mayEnter = 2, 1 // access(2): W_OK, X_OK

func checkFolder(folder string) error {
	if err := syscall.Access(folder, mayWrite|mayEnter); err != nil {
		return fmt.Errorf("cannot be written: no file can be put into the folder '%s': %v", folder, err)
	}
	return nil
}

func checkThere(found place) error {
	switch {
	case found.info.IsDir():
		return errors.New("is a folder")
	case found.info.Mode()&fs.ModeSocket != 0:
		return errors.New("cannot be written: it is a socket")
	}
	if err := syscall.Access(found.path, mayWrite); err != nil {
		return unwritable(err)
	}
	return nil
}

// What of the standard output could not be written first.
var notPrinted error

// Printf prints to standard output. What fails is told to the supervisor, which ends with a line and status 1.
func Printf(format string, arguments ...any) {
	if _, err := fmt.Printf(format, arguments...); err != nil && notPrinted == nil {
		notPrinted = unwritable(err)
	}
}

// CheckOutput refuses, with one line and status 2, a path to which nothing can be written. It opens nothing.
func CheckOutput(option, path string) {
	if _, err := findPlace(path); err != nil {
		Refuse(fmt.Sprintf("option %s: '%s' %v", option, path, err))
	}
}

// WriteOutput writes text to what path leads to. A regular file is whole or as it was.
func WriteOutput(path string, text []byte) error {
	found, err := findPlace(path)
	if err != nil {
		return err
	}
	if found.descriptor >= 0 {
		copied, err := syscall.Dup(found.descriptor)
		if err != nil {
			return unwritable(err)
		}
		return fill(os.NewFile(uintptr(copied), path), text, false)
	}
	if !found.through {
		err := writeBeside(found, text)
		// A file that was mounted on its own, as containers are given one: nothing can be renamed over it.
		if !errors.Is(err, syscall.EBUSY) {
			return err
		}
	}
	flags := os.O_WRONLY | syscall.O_NOCTTY
	if found.info.Mode().IsRegular() {
		flags |= os.O_TRUNC
	}
	file, err := os.OpenFile(found.path, flags, 0)
	if err != nil {
		return unwritable(err)
	}
	return fill(file, text, false)
}

// fill writes text, syncs if it is to, and closes; the first failure counts.
func fill(file *os.File, text []byte, sync bool) error {
	_, err := file.Write(text)
	if err == nil && sync {
		if err = file.Sync(); errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EROFS) {
			err = nil
		}
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return unwritable(err)
	}
	return nil
}

func writeBeside(found place, text []byte) error {
	mode := fs.FileMode(0o666)
	if found.info != nil {
		mode = found.info.Mode().Perm()
	}
	end := ".tmp." + strconv.Itoa(os.Getpid())
	folder, name := filepath.Split(found.path)
	if longest := 255 - len(end); len(name) > longest { // NAME_MAX
		name = name[:longest]
	}
	temporary := folder + name + end
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return unwritable(err)
	}
	if found.info != nil {
		// The owner as far as one may, then the mode: a change of owner takes set-user-id away.
		if owner, known := found.info.Sys().(*syscall.Stat_t); known {
			_ = file.Chown(int(owner.Uid), int(owner.Gid))
		}
		_ = file.Chmod(mode)
	}
	if err = fill(file, text, true); err == nil {
		err = os.Rename(temporary, found.path)
	}
	if err != nil {
		_ = os.Remove(temporary)
		if !errors.Is(err, syscall.EBUSY) {
			err = unwritable(err)
		}
	}
	return err
}
