package main

import (
	"math/bits"
	"sync"
	"time"
)

// Steps between a power of two and the next: what is told is less than 1 % off.
const stepBits = 7

// How often which latency occurred, in a space that does not grow.
type histogram struct {
	mutex  sync.Mutex
	counts [64 << stepBits]int64
	total  int64
	most   time.Duration
}

// In milliseconds.
type latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func (h *histogram) record(value time.Duration) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.counts[bucket(value)]++
	h.total++
	h.most = max(h.most, value)
}

// Nil where nothing was recorded.
func (h *histogram) summary() *latency {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.total == 0 {
		return nil
	}
	return &latency{h.quantile(0.5), h.quantile(0.9), h.quantile(0.99), h.quantile(0.999), milliseconds(h.most)}
}

func (h *histogram) quantile(share float64) float64 {
	var seen int64
	for index, count := range h.counts {
		seen += count
		if count > 0 && float64(seen) >= share*float64(h.total) {
			return milliseconds(min(upperBound(index), h.most))
		}
	}
	return milliseconds(h.most)
}

func bucket(value time.Duration) int {
	nanoseconds := uint64(max(value, 0))
	shift := max(bits.Len64(nanoseconds)-stepBits-1, 0)
	return shift<<stepBits + int(nanoseconds>>shift)
}

// The highest value of a bucket.
func upperBound(index int) time.Duration {
	shift := max(index>>stepBits-1, 0)
	return time.Duration((uint64(index-shift<<stepBits)+1)<<shift - 1)
}

func milliseconds(value time.Duration) float64 {
	return float64(value) / float64(time.Millisecond)
}
