"""uvloop's side of the Python benchmarks: asyncio's with its loop."""
import bench_asyncio
import measure
import uvloop

measure.main(bench_asyncio.CASES, uvloop.run)
