package main

import (
	"testing"
	"time"
)

func TestABucketHoldsWhatIsPutIntoItWithinOnePercent(t *testing.T) {
	for value := time.Duration(0); value < time.Hour; value += value/7 + 1 {
		bound := upperBound(bucket(value))
		if bound < value || float64(bound) > float64(value)*1.01 {
			t.Fatalf("%d is told as %d", value, bound)
		}
	}
}

func TestQuantilesAreOfWhatWasRecorded(t *testing.T) {
	var h histogram
	for value := 1; value <= 1000; value++ {
		h.record(time.Duration(value) * time.Millisecond)
	}
	told := h.summary()
	if told.P50 < 500 || told.P50 > 505 || told.P99 < 990 || told.P99 > 1000 || told.Max != 1000 {
		t.Fatalf("%+v", *told)
	}
}
