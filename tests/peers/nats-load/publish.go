package main

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A publish that waits for its confirm.
type pending struct {
	future jetstream.PubAckFuture
	due    time.Time
}

// Publishes until the context ends, then waits for what is outstanding.
func (run *load) publish(ctx context.Context, streams jetstream.JetStream, number int) {
	outstanding, slots := make(chan pending, run.confirms), make(chan struct{}, run.confirms)
	done := make(chan struct{})
	go func() {
		run.confirmAll(outstanding, slots)
		close(done)
	}()
	subject := name(number % run.queues)
	var interval time.Duration
	if run.rate > 0 {
		interval = time.Duration(float64(time.Second) * float64(run.publishers) / float64(run.rate))
	}
	due := time.Now()
	for ctx.Err() == nil {
		if interval > 0 {
			// Latency counts from when a message was due, also where the one before it held it up.
			due = due.Add(interval)
			time.Sleep(time.Until(due))
		}
		slots <- struct{}{}
		if interval == 0 {
			due = time.Now()
		}
		// The library keeps it until it is confirmed, so each has a body of its own.
		body := make([]byte, run.size)
		if len(body) >= stampBytes {
			binary.BigEndian.PutUint64(body, uint64(due.Sub(run.began)))
		}
		future, err := streams.PublishMsgAsync(&nats.Msg{Subject: subject, Data: body})
		if err != nil {
			run.counts.errors.Add(1)
			<-slots
			continue
		}
		run.counts.published.Add(1)
		outstanding <- pending{future, due}
	}
	close(outstanding)
	<-done
}

// Takes confirms in the order of the publishes, which is the order that a stream sends them in.
func (run *load) confirmAll(outstanding <-chan pending, slots <-chan struct{}) {
	last := time.Now()
	for waiting := range outstanding {
		// A pause begins when something waits.
		if waiting.due.After(last) {
			last = waiting.due
		}
		select {
		case <-waiting.future.Ok():
			run.counts.confirmed.Add(1)
		case <-waiting.future.Err():
			run.counts.errors.Add(1)
		}
		<-slots
		now := time.Now()
		if run.measuring.Load() {
			run.confirm.record(now.Sub(waiting.due))
			run.pause(now.Sub(last))
		}
		last = now
	}
}

func (run *load) pause(pause time.Duration) {
	for {
		longest := run.longestPause.Load()
		if int64(pause) <= longest || run.longestPause.CompareAndSwap(longest, int64(pause)) {
			return
		}
	}
}
