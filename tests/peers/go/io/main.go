// Go's side of the I/O benchmarks: `bench_io CASE PROCS PORT [DIRECTORY]` or `bench_io file_read PROCS READS PATH`. The cases are defined in tests/bench/io_server.c and
// tests/bench/harness/io_cases.py. Only the standard library is used, and nothing newer than Go 1.19, which raises the limit of descriptors by itself.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench_io:", err)
		os.Exit(1)
	}
}

func serve(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, 512)
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func echo(address string) {
	listener, err := net.Listen("tcp", address)
	must(err)
	for {
		connection, err := listener.Accept()
		must(err)
		go serve(connection)
	}
}

// web says hello at /hello and serves the files of a directory elsewhere.
func web(address, directory string) {
	http.HandleFunc("/hello", func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("Content-Type", "text/plain")
		response.Write([]byte("hello"))
	})
	http.Handle("/", http.FileServer(http.Dir(directory)))
	must(http.ListenAndServe(address, nil))
}

func cpuNow() int64 {
	const processCPU = 2 // CLOCK_PROCESS_CPUTIME_ID
	var now syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, processCPU, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

// readAll is what tests/peers/threads does, with goroutines.
func readAll(path string, bytes, reads int, suffix string) {
	const readers, fileBytes = 64, 16 << 20
	file, err := os.Open(path)
	must(err)
	wall, cpu := time.Now(), cpuNow()
	var group sync.WaitGroup
	for i := 0; i < readers; i++ {
		group.Add(1)
		go func(seed int) {
			defer group.Done()
			random, buffer := uint32(seed)*2654435761+1, make([]byte, bytes)
			for i := 0; i < reads/readers; i++ {
				random = random*1664525 + 1013904223
				_, err := file.ReadAt(buffer, int64(int(random>>8)%(fileBytes/bytes)*bytes))
				must(err)
			}
		}(i)
	}
	group.Wait()
	count := float64(reads / readers * readers)
	fmt.Printf("wall_ns_per_%s=%.1f cpu_ns_per_%s=%.1f ", suffix, float64(time.Since(wall).Nanoseconds())/count, suffix, float64(cpuNow()-cpu)/count)
	file.Close()
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: bench_io CASE PROCS PORT [DIRECTORY]")
		os.Exit(2)
	}
	procs, err := strconv.Atoi(os.Args[2])
	must(err)
	runtime.GOMAXPROCS(procs)
	address := "127.0.0.1:" + os.Args[3]
	switch os.Args[1] {
	case "echo":
		echo(address)
	case "http":
		web(address, os.Args[4])
	case "file_read":
		reads, err := strconv.Atoi(os.Args[3])
		must(err)
		readAll(os.Args[4], 4096, reads, "op")
		readAll(os.Args[4], 65536, reads/16, "64k")
	}
}
