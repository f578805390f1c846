// nats-load measures NATS JetStream as `ferrymq bench` measures a broker of AMQP, and tells it in the same words.
//
// A queue is a stream of its own with replicas and file storage, and one durable pull consumer with explicit
// acknowledgements, which all its consumers share.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// What to measure.
type options struct {
	servers    []string
	publishers int
	consumers  int
	queues     int
	replicas   int
	retention  string
	size       int
	confirms   int
	prefetch   int
	rate       int
	seconds    float64
	warmUp     float64
}

// What was measured: the fields of `ferrymq bench --json`.
type outcome struct {
	Seconds            float64  `json:"seconds"`
	Published          int64    `json:"published"`
	Confirmed          int64    `json:"confirmed"`
	Received           int64    `json:"received"`
	Redelivered        int64    `json:"redelivered"`
	Nacked             int64    `json:"nacked"`
	Errors             int64    `json:"errors"`
	Reconnects         int64    `json:"reconnects"`
	LostConfirms       int64    `json:"lost_confirms"`
	PublishedPerSecond float64  `json:"published_per_second"`
	ConfirmedPerSecond float64  `json:"confirmed_per_second"`
	ReceivedPerSecond  float64  `json:"received_per_second"`
	Confirm            *latency `json:"confirm_ms"`
	EndToEnd           *latency `json:"end_to_end_ms"`
	LongestPause       float64  `json:"longest_pause_ms"`
	Size               int      `json:"size"`
	Publishers         int      `json:"publishers"`
	Consumers          int      `json:"consumers"`
	Queues             int      `json:"queues"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "nats-load:", err)
		os.Exit(1)
	}
}

func run() error {
	options, path, err := parse()
	if err != nil {
		return err
	}
	limit := seconds(options.warmUp+options.seconds) + time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	measured, err := measure(ctx, options)
	if err != nil {
		return err
	}
	text, err := json.Marshal(measured)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if path == "-" {
		_, err = os.Stdout.Write(text)
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

func parse() (options, string, error) {
	var o options
	servers := flag.String("uri", "nats://127.0.0.1:4222", "servers, with commas between; connections are spread over them")
	flag.IntVar(&o.publishers, "publishers", 1, "publishers, each with a connection of its own")
	flag.IntVar(&o.consumers, "consumers", 1, "consumers, each with a connection of its own")
	flag.IntVar(&o.queues, "queues", 1, "streams; publishers and consumers are spread over them")
	flag.IntVar(&o.replicas, "replicas", 3, "replicas of a stream and its consumer")
	flag.StringVar(&o.retention, "retention", "workqueue", "workqueue or limits")
	flag.IntVar(&o.size, "size", 1000, "bytes of a message")
	flag.IntVar(&o.confirms, "confirms", 200, "publishes of a publisher that may wait for their confirm")
	flag.IntVar(&o.prefetch, "prefetch", 500, "messages that a consumer asks for at once")
	flag.IntVar(&o.rate, "rate", 0, "messages a second, of all publishers; 0: as fast as it goes")
	flag.Float64Var(&o.seconds, "seconds", 15, "how long it is measured for")
	flag.Float64Var(&o.warmUp, "warm-up", 5, "seconds before that, which do not count")
	path := flag.String("json", "-", "the file for the outcome; - is the standard output")
	flag.Parse()
	o.servers = strings.Split(*servers, ",")
	switch {
	case flag.NArg() > 0:
		return o, "", fmt.Errorf("%q is not understood: everything is an option", flag.Arg(0))
	case o.publishers < 1 || o.queues < 1 || o.confirms < 1 || o.prefetch < 1 || o.replicas < 1:
		return o, "", fmt.Errorf("-publishers, -queues, -confirms, -prefetch and -replicas are at least 1")
	case o.consumers < 0 || o.size < 0 || o.rate < 0 || o.warmUp < 0 || o.seconds <= 0:
		return o, "", fmt.Errorf("-consumers, -size, -rate and -warm-up are not negative, and -seconds is more than 0")
	case o.retention != "workqueue" && o.retention != "limits":
		return o, "", fmt.Errorf("-retention is workqueue or limits")
	}
	return o, *path, nil
}

func seconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Second))
}
