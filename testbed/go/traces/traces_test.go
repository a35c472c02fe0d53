// client-go draws its jitter from math/rand's global source. With a seed, the draws are known.
//
//go:debug randseednop=0

package traces

import (
	"bytes"
	"context"
	"flag"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

var update = flag.Bool("update", false, "write the traces instead of comparing with them")

const folder = "../../../lease-memory/testdata/client-go"

// header is the first line of a trace: all that the peer has to know. Times are in nanoseconds.
type header struct {
	Trace           string    `json:"trace"`
	About           string    `json:"about"`
	ClientGo        string    `json:"clientGo"`
	Identity        string    `json:"identity"`
	LeaseDuration   int64     `json:"leaseDuration"`
	RenewDeadline   int64     `json:"renewDeadline"`
	RetryPeriod     int64     `json:"retryPeriod"`
	ReleaseOnCancel bool      `json:"releaseOnCancel"`
	Wall            string    `json:"wall"`
	Jitter          []float64 `json:"jitter"`
}

func TestTraces(t *testing.T) {
	for _, script := range scripts {
		t.Run(script.name, func(t *testing.T) {
			got, err := record(t, script)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder, script.name+".jsonl")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("client-go does not behave as recorded; it does now:\n%s", got)
			}
		})
	}
}

// TestEachTraceHasAScript finds recordings that nothing makes any more.
func TestEachTraceHasAScript(t *testing.T) {
	known := map[string]bool{}
	for _, script := range scripts {
		if known[script.name] {
			t.Errorf("two scripts are called %s", script.name)
		}
		known[script.name] = true
	}
	paths, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if name := strings.TrimSuffix(filepath.Base(path), ".jsonl"); !known[name] {
			t.Errorf("%s has no script", path)
		}
	}
}

func record(t *testing.T, script script) (text []byte, err error) {
	if script.lease == 0 {
		script.lease = 15 * s
	}
	if script.renew == 0 {
		script.renew = 10 * s
	}
	if script.retry == 0 {
		script.retry = 2 * s
	}
	if script.usual == (fate{}) {
		script.usual = usual
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(script.phase)
		rand.Seed(script.seed) //nolint:staticcheck // it is client-go that uses the global source
		start := time.Now()
		lines, jitter := campaign(t, script, start)
		// What the cancelled elector still does takes time, and a bubble's time stops when this function returns.
		time.Sleep(time.Hour)
		text, err = encode(header{
			Trace: script.name, About: script.about, ClientGo: clientGo, Identity: identity,
			LeaseDuration: int64(script.lease), RenewDeadline: int64(script.renew), RetryPeriod: int64(script.retry),
			ReleaseOnCancel: script.releaseOnCancel, Wall: micro(start), Jitter: jitter,
		}, lines)
	})
	return text, err
}

const (
	identity = "a"
	// clientGo is the version in go.mod.
	clientGo = "v0.36.3"
)

// campaign runs one elector through the script, and gives what happened and the jitter that was drawn.
func campaign(t *testing.T, script script, start time.Time) ([]line, []float64) {
	trace := &recorder{start: start}
	server := &server{fates: script.fates, usual: script.usual, outcomes: map[int]result{}, trace: trace}
	if script.before != nil {
		server.edit("before", func(*lease) *lease { return script.before() })
	}
	for _, edit := range script.edits {
		time.AfterFunc(edit.at, func() { server.edit(edit.what, edit.change) })
	}
	elector := newElector(t, script, server, trace)
	first, cancel := context.WithCancel(context.Background())
	defer cancel()
	second, end := context.WithCancel(context.Background())
	defer end()
	run := func(ctx context.Context) {
		trace.run()
		elector.Run(ctx)
		trace.callback(orderEnded, "ended")
	}
	go run(first)
	if script.again > 0 {
		time.AfterFunc(script.again, func() { run(second) })
	}
	if script.cancel > 0 {
		time.AfterFunc(script.cancel, func() { trace.cancel(); cancel() })
	}
	time.Sleep(script.until)
	synctest.Wait()
	return trace.end(), drawn(t, script.seed)
}

func newElector(t *testing.T, script script, server *server, trace *recorder) *leaderelection.LeaderElector {
	config := &rest.Config{
		Host: "https://example.invalid", Transport: server,
		ContentConfig: rest.ContentConfig{ContentType: "application/json"},
		// As resourcelock.NewFromKubeconfig has it.
		Timeout: max(script.renew/2, time.Second),
	}
	client, err := coordination.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, "default", "jobs", nil, client,
		resourcelock.ResourceLockConfig{Identity: identity})
	if err != nil {
		t.Fatal(err)
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: script.lease, RenewDeadline: script.renew, RetryPeriod: script.retry,
		ReleaseOnCancel: script.releaseOnCancel, Name: "jobs",
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(term context.Context) {
				trace.callback(orderStarted, "started")
				<-term.Done()
				trace.callback(orderCancelled, "cancelled")
			},
			OnStoppedLeading: func() { trace.callback(orderStopped, "stopped") },
			OnNewLeader:      trace.newLeader,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return elector
}

// drawn gives the jitter that was drawn since the global source was seeded, by finding where the source is now.
func drawn(t *testing.T, seed int64) []float64 {
	next, same := rand.Float64(), rand.New(rand.NewSource(seed))
	draws := []float64{}
	for range 1000 {
		draw := same.Float64()
		if draw == next {
			return draws
		}
		draws = append(draws, draw)
	}
	t.Fatal("the global random source is not the one that was seeded")
	return nil
}
