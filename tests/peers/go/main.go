// Go's side of the core benchmarks: `bench CASE PROCS N` runs one case once and prints one line of key=value.
// The cases are defined in tests/bench/core.c; each does the same work here, as one would write it in Go.
// Only the standard library is used, and nothing newer than Go 1.19.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

var (
	procs int
	count int
	cpu0  int64
	wall0 time.Time
)

func cpuNow() int64 {
	const processCPU = 2 // CLOCK_PROCESS_CPUTIME_ID
	var now syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, processCPU, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

func begin() {
	wall0 = time.Now()
	cpu0 = cpuNow()
}

func end(ops int) {
	cpu := cpuNow() - cpu0
	wall := time.Since(wall0).Nanoseconds()
	fmt.Printf(" cpu_ns_per_op=%.3f wall_ns_per_op=%.3f", float64(cpu)/float64(ops), float64(wall)/float64(ops))
}

// memory is what the process holds: resident pages and page tables, in bytes.
func memory() int64 {
	text, _ := os.ReadFile("/proc/self/status")
	var total int64
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 3 && (fields[0] == "VmRSS:" || fields[0] == "VmPTE:") {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			total += kib * 1024
		}
	}
	return total
}

func yield(goroutines int) {
	var group sync.WaitGroup
	begin()
	for i := 0; i < goroutines; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < count/goroutines; i++ {
				runtime.Gosched()
			}
		}()
	}
	group.Wait()
	end(count)
}

func spawnJoin() {
	var group sync.WaitGroup
	begin()
	for i := 0; i < count; i++ {
		group.Add(1)
		go group.Done()
		group.Wait()
	}
	end(count)
}

func spawnTask() {
	begin()
	for i := 0; i < count; i++ {
		done := make(chan struct{})
		go func() { close(done) }()
		<-done
	}
	end(count)
}

func spawnBatch(batch int) {
	var group sync.WaitGroup
	begin()
	for left := count; left > 0; left -= batch {
		size := batch
		if left < size {
			size = left
		}
		group.Add(size)
		for i := 0; i < size; i++ {
			go group.Done()
		}
		group.Wait()
	}
	end(count)
}

func pingpong() {
	ping, pong := make(chan int64), make(chan int64)
	var group sync.WaitGroup
	begin()
	group.Add(1)
	go func() {
		defer group.Done()
		for v := range ping {
			pong <- v
		}
	}()
	for i := 0; i < count; i++ {
		ping <- int64(i)
		<-pong
	}
	close(ping)
	group.Wait()
	end(count)
}

// pipe moves count items from `sides` producers to as many consumers.
func pipe(sides int) {
	items := make(chan int64, 128)
	var producers, consumers sync.WaitGroup
	var sum int64
	begin()
	for i := 0; i < sides; i++ {
		producers.Add(1)
		consumers.Add(1)
		go func() {
			defer producers.Done()
			for i := 0; i < count/sides; i++ {
				items <- 1
			}
		}()
		go func() {
			defer consumers.Done()
			var mine int64
			for v := range items {
				mine += v
			}
			atomic.AddInt64(&sum, mine)
		}()
	}
	producers.Wait()
	close(items)
	consumers.Wait()
	end(count)
	if sum != int64(count/sides*sides) {
		panic("items lost")
	}
}

func produce(items chan int64, n int) {
	for i := 0; i < n; i++ {
		items <- 1
	}
}

func select2() {
	a, b := make(chan int64), make(chan int64)
	var sum int64
	begin()
	go produce(a, count/2)
	go produce(b, count/2)
	for i := 0; i < count/2*2; i++ {
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		}
	}
	end(count)
}

func select8() {
	var c [8]chan int64
	var sum int64
	begin()
	for i := range c {
		c[i] = make(chan int64)
		go produce(c[i], count/8)
	}
	c0, c1, c2, c3, c4, c5, c6, c7 := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
	for i := 0; i < count/8*8; i++ {
		select {
		case v := <-c0:
			sum += v
		case v := <-c1:
			sum += v
		case v := <-c2:
			sum += v
		case v := <-c3:
			sum += v
		case v := <-c4:
			sum += v
		case v := <-c5:
			sum += v
		case v := <-c6:
			sum += v
		case v := <-c7:
			sum += v
		}
	}
	end(count)
}

func mutex(goroutines int) {
	var lock sync.Mutex
	var group sync.WaitGroup
	counter := 0
	begin()
	for i := 0; i < goroutines; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < count/goroutines; i++ {
				lock.Lock()
				counter++
				lock.Unlock()
			}
		}()
	}
	group.Wait()
	end(count)
	if counter != count/goroutines*goroutines {
		panic("increments lost")
	}
}

func parked() {
	gate := make(chan int64)
	var ready, done sync.WaitGroup
	ready.Add(count)
	done.Add(count)
	before := memory()
	begin()
	for i := 0; i < count; i++ {
		go func() {
			ready.Done()
			<-gate
			done.Done()
		}()
	}
	ready.Wait()
	time.Sleep(20 * time.Millisecond) // the last ones are on their way into the receive
	bytes := memory() - before
	close(gate)
	done.Wait()
	end(count)
	fmt.Printf(" bytes_per_item=%.1f", float64(bytes)/float64(count))
}

func sleepMillis(index int) time.Duration {
	return time.Duration(1+(uint32(index)*2654435761>>16)%100) * time.Millisecond
}

func sleepers() {
	var group sync.WaitGroup
	group.Add(count)
	begin()
	for i := 0; i < count; i++ {
		go func(i int) {
			time.Sleep(sleepMillis(i))
			group.Done()
		}(i)
	}
	group.Wait()
	end(count)
}

func skynetNode(out chan int64, number, size int64) {
	if size == 1 {
		out <- number
		return
	}
	in := make(chan int64)
	for i := int64(0); i < 10; i++ {
		go skynetNode(in, number+i*(size/10), size/10)
	}
	var sum int64
	for i := 0; i < 10; i++ {
		sum += <-in
	}
	out <- sum
}

func skynet() {
	leaves := int64(1)
	for leaves*10 <= int64(count) {
		leaves *= 10
	}
	out := make(chan int64)
	begin()
	go skynetNode(out, 0, leaves)
	sum := <-out
	end(int(leaves))
	if sum != leaves*(leaves-1)/2 {
		panic("wrong sum")
	}
}

func xorshift(steps int, x uint64) uint64 {
	for i := 0; i < steps; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

func compute() {
	const parts = 64
	var results [parts]uint64
	var group sync.WaitGroup
	begin()
	for i := 0; i < parts; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			results[i] = xorshift(count/parts, uint64(i+1))
		}(i)
	}
	group.Wait()
	end(count)
	for _, r := range results {
		if r == 0 {
			panic("xorshift reached zero")
		}
	}
}

func sleep50() {
	micros := make([]float64, count)
	begin()
	for i := range micros {
		start := time.Now()
		time.Sleep(50 * time.Microsecond)
		micros[i] = float64(time.Since(start).Nanoseconds()) / 1000
	}
	end(count)
	sort.Float64s(micros)
	fmt.Printf(" latency_us=%.1f", micros[count/2])
}

var stop int32

// pair plays ping-pong until stop is set; trips counts the round trips.
func pair(trips *int64, group *sync.WaitGroup) {
	ping, pong := make(chan int64), make(chan int64)
	go func() {
		for v := range ping {
			pong <- v
		}
	}()
	for atomic.LoadInt32(&stop) == 0 {
		ping <- 1
		<-pong
		atomic.AddInt64(trips, 1)
	}
	close(ping)
	group.Done()
}

type padded struct {
	trips int64
	_     [56]byte
}

// tripsPerCPU is the pairs' throughput over `ms` milliseconds, in round trips per nanosecond of the process's CPU time.
func tripsPerCPU(pairs []padded, ms int) float64 {
	total := func() (sum int64) {
		for i := range pairs {
			sum += atomic.LoadInt64(&pairs[i].trips)
		}
		return
	}
	time.Sleep(time.Duration(ms) * time.Millisecond / 10) // let it settle
	trips, cpu := total(), cpuNow()
	time.Sleep(time.Duration(ms) * time.Millisecond)
	trips, cpu = total()-trips, cpuNow()-cpu
	return float64(trips) / float64(cpu)
}

func hogs() {
	pairs := make([]padded, 1000)
	var group sync.WaitGroup
	for i := range pairs {
		group.Add(1)
		go pair(&pairs[i].trips, &group)
	}
	alone := tripsPerCPU(pairs, count)
	for i := 0; i < procs; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for x := uint64(1); atomic.LoadInt32(&stop) == 0; {
				x = xorshift(1000, x)
			}
		}()
	}
	beside := tripsPerCPU(pairs, count)
	atomic.StoreInt32(&stop, 1)
	group.Wait()
	fmt.Printf(" kept_percent=%.2f", 100*beside/(alone*0.5))
}

func blocker() {
	var group sync.WaitGroup
	var worst int64
	observer := func() {
		defer group.Done()
		last, mine := time.Now(), int64(0)
		for atomic.LoadInt32(&stop) == 0 {
			runtime.Gosched()
			now := time.Now()
			if gap := now.Sub(last).Nanoseconds(); gap > mine {
				mine = gap
			}
			last = now
		}
		for seen := atomic.LoadInt64(&worst); mine > seen; seen = atomic.LoadInt64(&worst) {
			if atomic.CompareAndSwapInt64(&worst, seen, mine) {
				break
			}
		}
	}
	for i := 0; i < 64; i++ {
		group.Add(1)
		go observer()
	}
	group.Add(1)
	go func() {
		defer group.Done()
		pause := syscall.NsecToTimespec(int64(count) * 1000000)
		for syscall.Nanosleep(&pause, &pause) == syscall.EINTR {
		}
		atomic.StoreInt32(&stop, 1)
	}()
	group.Wait()
	fmt.Printf(" max_delay_ms=%.3f", float64(worst)/1e6)
}

func main() {
	cases := map[string]func(){
		"yield": func() { yield(2) }, "yield64": func() { yield(64) }, "spawn_join": spawnJoin, "spawn_task": spawnTask, "spawn_batch": func() { spawnBatch(100000) }, "spawn1000": func() { spawnBatch(1000) },
		"pingpong": pingpong, "spsc": func() { pipe(1) }, "mpmc": func() { pipe(4) },
		"select2": select2, "select8": select8, "mutex1": func() { mutex(1) }, "mutex4": func() { mutex(4) },
		"parked": parked, "sleepers": sleepers, "skynet": skynet, "compute": compute,
		"sleep50": sleep50, "hogs": hogs, "blocker": blocker,
	}
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: bench CASE PROCS N")
		os.Exit(2)
	}
	name := os.Args[1]
	procs, _ = strconv.Atoi(os.Args[2])
	count, _ = strconv.Atoi(os.Args[3])
	if procs < 1 || count < 1 {
		fmt.Fprintln(os.Stderr, "bench: PROCS and N must be positive")
		os.Exit(2)
	}
	runtime.GOMAXPROCS(procs)
	run := cases[name]
	if run == nil {
		fmt.Println("skip=no_such_case")
		return
	}
	fmt.Printf("case=%s procs=%d n=%d", name, procs, count)
	run()
	fmt.Println()
}
