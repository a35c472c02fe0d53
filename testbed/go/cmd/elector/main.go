// Command elector is a stock client-go leader elector: the peer that the tests mix with and compare to.
//
// Nothing of client-go is changed or worked around. While it leads it appends an act to --log every 10 ms, in
// the line format of the testbed's judge, and it prints what happens to it on standard output, one event a line:
// "BOOTTIME_NS EVENT LEASE [HOLDER]".
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"testbed/internal/lifeline"
)

var (
	kubeconfig    = flag.String("kubeconfig", "", "path of the kubeconfig")
	namespace     = flag.String("namespace", "default", "namespace of the Lease")
	name          = flag.String("name", "", "name of the Lease; with --leases its prefix")
	identity      = flag.String("identity", "", "holder identity")
	leaseDuration = flag.Duration("lease-duration", 15*time.Second, "client-go LeaseDuration")
	renewDeadline = flag.Duration("renew-deadline", 10*time.Second, "client-go RenewDeadline")
	retryPeriod   = flag.Duration("retry-period", 2*time.Second, "client-go RetryPeriod")
	release       = flag.Bool("release-on-cancel", false, "client-go ReleaseOnCancel")
	acts          = flag.String("log", "", "file to append acts to while leading")
	leases        = flag.Int("leases", 1, "electors to run: above 1 the Leases are NAME-0 to NAME-(N-1)")
	qps           = flag.Float64("qps", 0, "requests a second of the client; 0 is client-go's default, below 0 no limit")
)

func main() {
	lifeline.Hold()
	flag.Parse()
	if *name == "" || *identity == "" || (*leases > 1 && *acts != "") {
		log.Fatal("--name and --identity are required, and --log needs a single lease")
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	// As resourcelock.NewFromKubeconfig does it, but for one client instead of one per lease.
	config.Timeout = max(*renewDeadline/2, time.Second)
	config.QPS = float32(*qps)
	client := kubernetes.NewForConfigOrDie(config)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var all sync.WaitGroup
	for i := range *leases {
		lease := *name
		if *leases > 1 {
			lease = fmt.Sprintf("%s-%d", *name, i)
		}
		lock, err := resourcelock.New(resourcelock.LeasesResourceLock, *namespace, lease,
			client.CoreV1(), client.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: *identity})
		if err != nil {
			log.Fatal(err)
		}
		all.Go(func() { campaign(ctx, lease, lock) })
	}
	all.Wait()
}

// campaign runs the elector again after every lost term: a peer that gave up would leave its test without a peer.
func campaign(ctx context.Context, lease string, lock resourcelock.Interface) {
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: *leaseDuration, RenewDeadline: *renewDeadline, RetryPeriod: *retryPeriod,
		ReleaseOnCancel: *release, Name: lease,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(term context.Context) { lead(term, lease) },
			OnStoppedLeading: func() { event("stopped", lease) },
			OnNewLeader:      func(holder string) { event("leader", lease+" "+holder) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	for ctx.Err() == nil {
		elector.Run(ctx)
	}
}

// lead is the guarded work: one act every 10 ms until client-go takes the leadership away.
func lead(term context.Context, lease string) {
	event("started", lease)
	if *acts == "" {
		<-term.Done()
		return
	}
	file, err := os.OpenFile(*acts, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for term.Err() == nil {
		// One write call per line, as the judge's format asks; client-go has no fencing token, hence "-".
		if _, err := fmt.Fprintf(file, "%d %d act - %s\n", boottime(), os.Getpid(), *identity); err != nil {
			log.Fatal(err)
		}
		select {
		case <-term.Done():
		case <-tick.C:
		}
	}
}

func event(what, about string) {
	fmt.Printf("%d %s %s\n", boottime(), what, about)
}

// boottime is the clock of the judge: one host, one clock, running also while the host sleeps.
func boottime() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		log.Fatal(err)
	}
	return now.Nano()
}
