package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Leading bytes of a message: when it was due, on this process's clock.
const stampBytes = 8

// What is counted while it runs.
type counters struct {
	published, confirmed, received, redelivered, errors, reconnects atomic.Int64
}

// One run.
type load struct {
	options
	// Only what happens while this is so goes into the histograms.
	measuring         atomic.Bool
	counts            counters
	confirm, endToEnd histogram
	longestPause      atomic.Int64
	began             time.Time
}

func measure(ctx context.Context, o options) (*outcome, error) {
	run := &load{options: o, began: time.Now()}
	streams, connection, err := run.connect(0)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	for queue := range o.queues {
		if err := run.declare(ctx, streams, queue); err != nil {
			return nil, err
		}
		defer func() {
			// Also where the time is over. The servers of a measurement do not outlive it.
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = streams.DeleteStream(ctx, name(queue))
		}()
	}
	for number := range o.consumers {
		stop, err := run.consume(ctx, number)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	var publishers sync.WaitGroup
	for number := range o.publishers {
		streams, connection, err := run.connect(number)
		if err != nil {
			return nil, err
		}
		defer connection.Close()
		publishers.Go(func() { run.publish(publishing, streams, number) })
	}
	time.Sleep(seconds(o.warmUp))
	run.measuring.Store(true)
	before, since := run.counted(), time.Now()
	time.Sleep(seconds(o.seconds))
	run.measuring.Store(false)
	after, took := run.counted(), time.Since(since)
	stop()
	publishers.Wait()
	return run.outcome(before, after, took), nil
}

// A connection of its own, to the server whose turn it is.
func (run *load) connect(number int) (jetstream.JetStream, *nats.Conn, error) {
	server := run.servers[number%len(run.servers)]
	counted := nats.ReconnectHandler(func(*nats.Conn) { run.counts.reconnects.Add(1) })
	connection, err := nats.Connect(server, counted, nats.MaxReconnects(-1))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot connect to %s: %w", server, err)
	}
	// The bound is ours: the library's own one gives up a publish that waits for too long.
	bound, patience := jetstream.WithPublishAsyncMaxPending(run.confirms+1), jetstream.WithPublishAsyncTimeout(30*time.Second)
	streams, err := jetstream.New(connection, bound, patience)
	if err != nil {
		connection.Close()
		return nil, nil, err
	}
	return streams, connection, nil
}

func name(queue int) string {
	return fmt.Sprintf("bench-%d", queue)
}

// Whatever an earlier run left behind goes first.
func (run *load) declare(ctx context.Context, streams jetstream.JetStream, queue int) error {
	if _, err := streams.Stream(ctx, name(queue)); err == nil {
		if err := streams.DeleteStream(ctx, name(queue)); err != nil {
			return fmt.Errorf("cannot delete stream %s of an earlier run: %w", name(queue), err)
		}
	}
	retention := jetstream.LimitsPolicy
	if run.retention == "workqueue" {
		retention = jetstream.WorkQueuePolicy
	}
	stream, err := streams.CreateStream(ctx, jetstream.StreamConfig{
		Name: name(queue), Subjects: []string{name(queue)}, Retention: retention,
		Storage: jetstream.FileStorage, Replicas: run.replicas,
	})
	if err != nil {
		return fmt.Errorf("cannot make stream %s with %d replicas: %w", name(queue), run.replicas, err)
	}
	_, err = stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "bench", AckPolicy: jetstream.AckExplicitPolicy, Replicas: run.replicas,
	})
	return err
}

// Receives and acknowledges until it is stopped.
func (run *load) consume(ctx context.Context, number int) (stop func(), err error) {
	streams, connection, err := run.connect(number)
	if err != nil {
		return nil, err
	}
	consumer, err := streams.Consumer(ctx, name(number%run.queues), "bench")
	if err != nil {
		connection.Close()
		return nil, err
	}
	failed := jetstream.ConsumeErrHandler(func(jetstream.ConsumeContext, error) { run.counts.errors.Add(1) })
	consuming, err := consumer.Consume(run.receive, jetstream.PullMaxMessages(run.prefetch), failed)
	if err != nil {
		connection.Close()
		return nil, err
	}
	return func() {
		consuming.Stop()
		connection.Close()
	}, nil
}

func (run *load) receive(message jetstream.Msg) {
	run.counts.received.Add(1)
	if body := message.Data(); len(body) >= stampBytes && run.measuring.Load() {
		run.endToEnd.record(time.Since(run.began) - time.Duration(binary.BigEndian.Uint64(body)))
	}
	if about, err := message.Metadata(); err == nil && about.NumDelivered > 1 {
		run.counts.redelivered.Add(1)
	}
	if message.Ack() != nil {
		run.counts.errors.Add(1)
	}
}

func (run *load) counted() outcome {
	c := &run.counts
	return outcome{
		Published: c.published.Load(), Confirmed: c.confirmed.Load(), Received: c.received.Load(),
		Redelivered: c.redelivered.Load(), Errors: c.errors.Load(), Reconnects: c.reconnects.Load(),
	}
}

func (run *load) outcome(before, after outcome, took time.Duration) *outcome {
	perSecond := func(count int64) float64 { return float64(count) / took.Seconds() }
	told := &outcome{
		Seconds: took.Seconds(), Published: after.Published - before.Published,
		Confirmed: after.Confirmed - before.Confirmed, Received: after.Received - before.Received,
		Redelivered: after.Redelivered - before.Redelivered, Errors: after.Errors - before.Errors,
		Reconnects: after.Reconnects - before.Reconnects,
		Confirm:    run.confirm.summary(), EndToEnd: run.endToEnd.summary(),
		LongestPause: milliseconds(time.Duration(run.longestPause.Load())),
		Size:         run.size, Publishers: run.publishers, Consumers: run.consumers, Queues: run.queues,
	}
	told.PublishedPerSecond = perSecond(told.Published)
	told.ConfirmedPerSecond = perSecond(told.Confirmed)
	told.ReceivedPerSecond = perSecond(told.Received)
	return told
}
