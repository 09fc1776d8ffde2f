package main

import (
	"math/bits"
	"sync/atomic"
)

// 128 buckets for each power of two: a value is known to better than 1 %.
const bucketBits = 7

// histogram counts durations in nanoseconds. Any goroutine may add.
type histogram struct {
	counts [(65 - bucketBits) << bucketBits]uint64
	max    uint64
}

func (h *histogram) add(value uint64) {
	atomic.AddUint64(&h.counts[bucket(value)], 1)
	for seen := atomic.LoadUint64(&h.max); seen < value; seen = atomic.LoadUint64(&h.max) {
		atomic.CompareAndSwapUint64(&h.max, seen, value)
	}
}

func (h *histogram) count() (sum uint64) {
	for i := range h.counts {
		sum += atomic.LoadUint64(&h.counts[i])
	}
	return sum
}

// quantile is the middle of the bucket that has it, in microseconds.
func (h *histogram) quantile(part float64) float64 {
	rank := part * float64(h.count())
	seen := uint64(0)
	for i := range h.counts {
		seen += atomic.LoadUint64(&h.counts[i])
		if seen > 0 && float64(seen) >= rank {
			return middle(i) / 1e3
		}
	}
	return 0
}

func bucket(value uint64) int {
	if value>>bucketBits == 0 {
		return int(value)
	}
	shift := bits.Len64(value) - 1 - bucketBits
	return shift<<bucketBits + int(value>>shift)
}

func middle(bucket int) float64 {
	if bucket>>bucketBits < 2 {
		return float64(bucket)
	}
	shift := bucket>>bucketBits - 1
	low := uint64(bucket-shift<<bucketBits) << shift
	return float64(low) + float64(uint64(1)<<shift)/2
}
