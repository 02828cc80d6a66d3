"""Memory of GPUs through NVIDIA's driver library, which every framework shares.

Plain allocations in the device's primary context: no library of a framework is imported, and a
process that also uses a framework gets no second context.
"""

import ctypes
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LIBRARY = "libcuda.so.1"
_LARGEST, _SMALLEST = 1 << 36, 2 << 20
"""Largest and smallest allocation, in bytes."""
_SAMPLE_SECONDS = 0.05


class CudaError(RuntimeError):
    """A call of the driver failed."""


class DeviceMemory:
    """The memory of one GPU; `number` is CUDA's ordinal."""

    def __init__(self, number: int = 0) -> None:
        self._cuda = ctypes.CDLL(_LIBRARY)
        device = ctypes.c_int()
        self._context = ctypes.c_void_p()
        self._held: list[ctypes.c_uint64] = []
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), number)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)

    def free_and_total(self) -> tuple[int, int]:
        """Return the free and the total bytes of the device, whoever uses the rest."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuCtxSetCurrent", self._context)
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def fill(self, leave: int) -> int:
        """Allocate all memory except `leave` bytes. Returns the bytes left."""
        size = _LARGEST
        while size >= _SMALLEST:
            if self.free_and_total()[0] - size < leave:
                size //= 2
                continue
            pointer = ctypes.c_uint64()
            try:
                self._call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(size))
            except CudaError:
                size //= 2
                continue
            self._held.append(pointer)
        return self.free_and_total()[0]

    def release(self) -> None:
        """Free what `fill` allocated."""
        self._call("cuCtxSetCurrent", self._context)
        while self._held:
            self._call("cuMemFree_v2", self._held.pop())

    def _call(self, name: str, *arguments: object) -> None:
        if code := getattr(self._cuda, name)(*arguments):
            raise CudaError(f"{name} failed with CUDA's error {code}")


def device_count() -> int:
    """Return the number of GPUs that the driver shows to this process; 0 without a driver."""
    count = ctypes.c_int()
    try:
        cuda = ctypes.CDLL(_LIBRARY)
    except OSError:
        return 0
    return 0 if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) else count.value


@contextmanager
def limited(leave: int, *, gpu: bool) -> Iterator[int]:
    """Leave only so many bytes to this process. Yields the bytes left.

    On a GPU all other memory is allocated; on the CPU this process's address space is limited.
    """
    if gpu:
        device = DeviceMemory()
        try:
            yield device.fill(leave)
        finally:
            device.release()
        return
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + leave, before[1]))
    try:
        yield leave
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class PeakMemory(threading.Thread):
    """Samples how much memory of each GPU other processes take. Use as a context manager."""

    def __init__(self, devices: int) -> None:
        super().__init__(daemon=True)
        self._devices = [DeviceMemory(number) for number in range(devices)]
        self._before = [device.free_and_total()[0] for device in self._devices]
        self._ended = threading.Event()
        self.peaks = [0] * devices
        """Bytes per GPU."""

    def __enter__(self) -> "PeakMemory":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while self._devices and not self._ended.wait(_SAMPLE_SECONDS):
            for number, device in enumerate(self._devices):
                taken = self._before[number] - device.free_and_total()[0]
                self.peaks[number] = max(self.peaks[number], taken)
