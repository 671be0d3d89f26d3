// Go's side of the I/O benchmarks: `bench_io CASE PROCS PORT [DIRECTORY]`. The cases are defined in tests/bench/io_server.c and
// tests/bench/harness/io_cases.py. Only the standard library is used, and nothing newer than Go 1.19, which raises the limit of descriptors by itself.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
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
	}
}
