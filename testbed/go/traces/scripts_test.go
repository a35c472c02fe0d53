package traces

import (
	"maps"
	"net/http"
	"time"
)

// script is what happens to one elector, identity "a", on one Lease.
type script struct {
	name, about string

	// Zero is 15 s, 10 s and 2 s. A deadline that is a multiple of the retry period coincides with a tick when it is
	// reached, and goroutines race for what comes first: scripts that get there have another one.
	lease, renew, retry time.Duration
	releaseOnCancel     bool
	// seed of the jitter.
	seed int64
	// phase moves the start within a second of the wall clock.
	phase time.Duration

	// before is the Lease at the start, none unless said.
	before func() *lease
	// fates of the requests by number, from 1; the others have the usual one.
	fates map[int]fate
	usual fate
	edits []edit
	// cancel ends the context of Run; never when zero.
	cancel time.Duration
	// again calls Run again on the same elector, with a context of its own; never when zero.
	again time.Duration
	// until is when the recording ends.
	until time.Duration
}

type edit struct {
	at     time.Duration
	what   string
	change func(*lease) *lease
}

const (
	ms = time.Millisecond
	s  = time.Second
)

// bubble is the wall time at which every synctest bubble begins.
const bubble = "2000-01-01T00:00:00.000000Z"

// An odd number of nanoseconds: what rounds them shows.
var usual = answered(3*ms+111, 5*ms+222)

func micro(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000Z") }

// held is a Lease that somebody acquired and renewed now.
func held(holder string, seconds, transitions int32) func() *lease {
	return func() *lease {
		now := micro(time.Now())
		return &lease{Spec: spec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: now,
			RenewTime: now, LeaseTransitions: &transitions}}
	}
}

// renewed is a renewal by the holder, unless the elector has taken its Lease.
func renewed(at time.Duration) edit {
	return edit{at, "renewed", func(l *lease) *lease {
		if *l.Spec.HolderIdentity != identity {
			l.Spec.RenewTime = micro(time.Now())
		}
		return l
	}}
}

func renewals(from, every, to time.Duration) []edit {
	var edits []edit
	for at := from; at <= to; at += every {
		edits = append(edits, renewed(at))
	}
	return edits
}

// taken is a takeover by another as client-go does it.
func taken(at time.Duration, holder string) edit {
	return edit{at, "taken by " + holder, func(l *lease) *lease {
		transitions := *l.Spec.LeaseTransitions + 1
		seconds := int32(15)
		l.Spec = held(holder, seconds, transitions)().Spec
		return l
	}}
}

func released(at time.Duration) edit {
	return edit{at, "released", func(l *lease) *lease {
		l.Spec = held("", 1, *l.Spec.LeaseTransitions)().Spec
		return l
	}}
}

func cleared(at time.Duration) edit {
	return edit{at, "holder cleared", func(l *lease) *lease {
		l.Spec.HolderIdentity = nil
		return l
	}}
}

func deleted(at time.Duration) edit {
	return edit{at, "deleted", func(*lease) *lease { return nil }}
}

func labelled(at time.Duration) edit {
	return edit{at, "annotated", func(l *lease) *lease {
		l.Metadata.Annotations = map[string]string{"note": at.String()}
		return l
	}}
}

// marked is a Lease of a candidate of ours: what has no field in a Lease is in annotations.
func marked() *lease {
	l := held("b", 15, 6)()
	l.Spec.Strategy = "OldestEmulationVersion"
	l.Metadata.Annotations = map[string]string{
		"lease-election.internal/acquired": "b/6", "lease-election.internal/released": "z/5",
		"lease-election.internal/epoch": "3", "lease-election.internal/successor": "c",
		"lease-election.internal/handover": `{"holder":"b","acquireTime":"2000-01-01T00:00:00.000000Z","draining":false}`,
		"example.com/foreign":              "kept",
	}
	return l
}

func fates(numbered ...any) map[int]fate {
	all := map[int]fate{}
	for i := 0; i < len(numbered); i += 2 {
		all[numbered[i].(int)] = numbered[i+1].(fate)
	}
	return all
}

func merged(all map[int]fate, numbered ...any) map[int]fate {
	maps.Copy(all, fates(numbered...))
	return all
}

// from gives one fate to all requests from first to last.
func from(first, last int, all fate) map[int]fate {
	same := map[int]fate{}
	for i := first; i <= last; i++ {
		same[i] = all
	}
	return same
}

// restored puts the Lease back to what it was at the start, to the microsecond.
func restored(at time.Duration, holder string) edit {
	return edit{at, "restored", func(l *lease) *lease {
		l.Spec = held(holder, 15, 3)().Spec
		l.Spec.AcquireTime, l.Spec.RenewTime = bubble, bubble
		return l
	}}
}

var scripts = []script{
	{name: "steady-renewal", about: "no Lease: created, acquired and renewed at once, then every retry period after the reply",
		until: 9 * s, seed: 1},
	{name: "takeover-by-expiry", about: "the other crashed: the wait counts from the first reply that showed its record",
		before: held("b", 15, 4), until: 25 * s, seed: 2, phase: 300 * ms},
	{name: "takeover-record-duration", about: "the wait is the record's own duration, longer or shorter than the elector's",
		lease: 6 * s, renew: 4 * s, retry: 1 * s, before: held("b", 9, 4), until: 14 * s, seed: 3},
	{name: "takeover-slow-reads", about: "the wait counts from a reply's arrival, and is over when it is over at the start of a try",
		lease: 6 * s, renew: 5500 * ms, retry: 1 * s, usual: answered(700*ms, 1900*ms), before: held("b", 6, 4), until: 20 * s, seed: 51},
	{name: "takeover-after-renewals", about: "the other renews for a while and then crashes",
		before: held("b", 5, 4), edits: renewals(2*s, 2*s, 10*s), until: 24 * s, seed: 4},
	{name: "label-edit-standby", about: "an edit that leaves the record alone does not restart the wait",
		before: held("b", 15, 4), edits: []edit{labelled(5 * s), labelled(12 * s)}, until: 22 * s, seed: 5},
	{name: "release-by-other", about: "free at the first read that shows the release",
		before: held("b", 15, 4), edits: append(renewals(2*s, 2*s, 6*s), released(7*s)), until: 14 * s, seed: 6},
	{name: "holder-cleared", about: "a record whose holder somebody emptied is taken at once, however fresh",
		before: held("b", 15, 4), edits: []edit{cleared(3 * s)}, until: 9 * s, seed: 7},
	{name: "deleted-standby", about: "a live leader's Lease is deleted: the standby creates one at once, transitions 0",
		before: held("b", 15, 4), edits: []edit{renewed(2 * s), deleted(3 * s)}, until: 9 * s, seed: 8},
	{name: "slow-replies", about: "replies later than a retry period: the deadline still counts from each poll's start",
		usual: answered(1300*ms+1, 2700*ms+7), until: 16 * s, seed: 9},
	{name: "slow-errors", about: "a poll's ticks: one that was missed fires at once, further ones are dropped, the rhythm stays",
		fates: fates(3, refused(500, 2500*ms), 4, refused(500, 400*ms), 5, refused(500, 100*ms), 6, refused(500, 100*ms),
			7, refused(500, 3300*ms), 8, refused(500, 100*ms), 9, refused(500, 100*ms), 10, refused(500, 100*ms)),
		until: 11 * s, seed: 10},
	{name: "reply-lost", about: "a renewal is applied and never answered: given up by the request's timeout, read, renewed",
		fates: fates(3, unanswered(3*ms)), until: 10 * s, seed: 11},
	{name: "reply-broken", about: "a renewal is applied and the connection breaks: read at once",
		fates: fates(4, broken(3*ms, 6*ms)), until: 10 * s, seed: 12},
	{name: "acquire-reply-lost", about: "the create is applied and its reply lost: the own name in the record grants authority",
		fates: fates(2, broken(3*ms, 6*ms)), until: 8 * s, seed: 13},
	{name: "late-write", about: "a renewal is applied after it was given up and between the read and the write that follow",
		fates: fates(3, unanswered(5006*ms)), until: 10 * s, seed: 14},
	{name: "deadline", about: "nothing is answered: the term ends a retry period and a renew deadline after the last reply",
		fates: merged(from(4, 40, lost()), 4, refused(500, 300*ms)), until: 18 * s, seed: 15},
	{name: "deadline-refusals", about: "all is refused, at every tick, until the deadline",
		renew: 9500 * ms, fates: from(4, 60, refused(500, 30*ms)), until: 18 * s, seed: 16},
	{name: "deadline-releases-first", about: "the release after a lost deadline is done before the work is told to stop",
		renew: 9500 * ms, releaseOnCancel: true, fates: from(4, 13, refused(500, 30*ms)),
		until: 14 * s, seed: 17},
	{name: "deadline-release-hangs", about: "the release gets no answer: the work runs on for one more request timeout",
		releaseOnCancel: true, fates: merged(from(4, 60, lost()), 4, refused(500, 300*ms)), until: 24 * s, seed: 18},
	{name: "cancel-during-release", about: "cancelled while the release after a lost deadline hangs: that stops the work",
		releaseOnCancel: true, fates: merged(from(4, 60, lost()), 4, refused(500, 300*ms)), cancel: 14 * s, until: 24 * s, seed: 19},
	{name: "conflict", about: "somebody edits the object: the renewal conflicts, is read and written again",
		edits: []edit{labelled(3 * s)}, until: 9 * s, seed: 20},
	{name: "conflict-create", about: "somebody creates between the read and the create",
		edits: []edit{{4 * ms, "created by b", func(*lease) *lease { return held("b", 15, 0)() }}}, until: 6 * s, seed: 21},
	{name: "conflict-takeover", about: "somebody else is faster at a released Lease",
		before: held("", 1, 4), edits: []edit{taken(4*ms, "b")}, until: 6 * s, seed: 22},
	{name: "deleted-while-leading", about: "the leader creates its Lease anew, transitions 0, and says nothing",
		before: held("", 1, 4), edits: []edit{deleted(3 * s)}, until: 9 * s, seed: 23},
	{name: "deleted-create-fails", about: "after a failed create there is no object to update: the next renewal begins with a read",
		edits: []edit{deleted(3 * s)}, fates: fates(7, refused(500, 30*ms)), until: 10 * s, seed: 24},
	{name: "overwritten-while-leading", about: "deposed: the work keeps its context until the deadline",
		renew: 9500 * ms, edits: append([]edit{taken(3*s, "b")}, renewals(5*s, 2*s, 15*s)...), until: 18 * s, seed: 25},
	{name: "overwritten-release", about: "deposed and knowing it: the release reads and writes nothing",
		renew: 9500 * ms, releaseOnCancel: true,
		edits: append([]edit{taken(3*s, "b")}, renewals(5*s, 2*s, 15*s)...), until: 18 * s, seed: 26},
	{name: "cleared-while-leading", about: "the leader takes its emptied record again, with one more transition",
		edits: []edit{cleared(3 * s)}, until: 9 * s, seed: 27},
	{name: "retake-inside-a-term", about: "deposed, then the other releases: taken again within the term, without a callback",
		edits: []edit{taken(3*s, "b"), released(6500 * ms)}, until: 14 * s, seed: 28},
	{name: "cancel-releases", about: "cancelled between renewals", releaseOnCancel: true, cancel: 5 * s, until: 8 * s, seed: 29},
	{name: "cancel-keeps", about: "cancelled between renewals, without ReleaseOnCancel", cancel: 5 * s, until: 8 * s, seed: 30},
	{name: "cancel-stale-observation", about: "cancelled before it noticed that b leads: it erases b's Lease",
		releaseOnCancel: true, edits: []edit{taken(4500*ms, "b")}, cancel: 5 * s, until: 8 * s, seed: 31},
	{name: "cancel-deleted", about: "cancelled, and the Lease is gone: nothing to release",
		releaseOnCancel: true, edits: []edit{deleted(4500 * ms)}, cancel: 5 * s, until: 8 * s, seed: 32},
	{name: "cancel-in-renewal", about: "cancelled while a renewal is out, which is applied: the release reads it",
		releaseOnCancel: true, fates: fates(4, answered(400*ms, 900*ms)), cancel: 2300 * ms, until: 6 * s, seed: 33},
	{name: "cancel-conflict", about: "the release conflicts and is not tried again",
		releaseOnCancel: true, edits: []edit{labelled(5*s + 6*ms)}, cancel: 5 * s, until: 8 * s, seed: 34},
	{name: "cancel-between-ticks", about: "cancelled while waiting for the next try of a failed renewal",
		releaseOnCancel: true, fates: fates(4, refused(500, 30*ms), 5, refused(500, 30*ms)), cancel: 3 * s, until: 6 * s, seed: 35},
	{name: "cancel-standby", about: "cancelled while standing by: stopped is called though nothing was started",
		releaseOnCancel: true, before: held("b", 15, 4), cancel: 5 * s, until: 8 * s, seed: 36},
	{name: "cancel-in-acquire", about: "cancelled while the takeover is out, which is applied all the same",
		before: held("", 1, 4), fates: fates(2, answered(300*ms, 900*ms)), cancel: 200 * ms, until: 4 * s, seed: 37},
	{name: "cancel-reports", about: "cancelled in a try that has seen a release: the empty name is reported as the new leader",
		before: held("b", 15, 4), edits: []edit{released(1 * s)}, fates: fates(3, lost()), cancel: 5 * s, until: 7 * s, seed: 54},
	{name: "short-lease-stolen", about: "a healthy lease of 1.9 s is one of 1 s in the record, and renewals within a second are not seen: stolen",
		lease: 1900 * ms, renew: 1500 * ms, retry: 800 * ms, before: held("b", 1, 4),
		edits: renewals(805*ms, 805*ms, 7*s), until: 8 * s, seed: 41},
	{name: "short-lease-leads", about: "with 1.9 s in the configuration a leader holds 1 s, and renews by the slow path",
		lease: 1900 * ms, renew: 1500 * ms, retry: 1 * s, until: 6 * s, seed: 39},
	{name: "below-a-second", about: "a lease of 0.9 s is 0 s in the record, which the API server refuses for ever",
		lease: 900 * ms, renew: 700 * ms, retry: 300 * ms, until: 4 * s, seed: 40},
	{name: "own-record-after-restart", about: "a new process finds its own name: leads at once, acquire time and transitions kept",
		before: held("a", 15, 4), until: 6 * s, seed: 38},
	{name: "get-errors", about: "reads fail in all ways; each failed try waits a jittered retry period",
		before: held("b", 15, 4), until: 30 * s, seed: 42,
		fates: fates(1, refused(http.StatusForbidden, 5*ms), 2, refused(500, 5*ms), 3, lost(), 4, broken(3*ms, 6*ms))},
	{name: "transitions-end", about: "the count wraps to a negative number, which the API server refuses for ever",
		before: held("", 1, 1<<31-1), until: 9 * s, seed: 43},
	{name: "foreign-fields", about: "annotations are kept on a takeover, the strategy is dropped",
		before: marked, until: 26 * s, seed: 44},
	{name: "restored-record", about: "a takeover's Lease is put back to what was read before it: overwritten at once",
		before: held("b", 15, 3), edits: []edit{restored(21*s, "b")}, until: 26 * s, seed: 45},
	{name: "record-goes-back", about: "a Lease put back to an older record restarts a standby's wait",
		before: held("b", 15, 3), edits: []edit{renewed(4 * s), restored(9*s, "b")}, until: 30 * s, seed: 46},
	{name: "run-again-leading", about: "Run again after a lost term on the own observation: a write without a read, and no new-leader call",
		fates: from(4, 13, refused(500, 30*ms)), again: 13500 * ms, renew: 9500 * ms, until: 16 * s, seed: 47},
	{name: "run-again-deposed", about: "Run again after being deposed: stands by, by the observation that it has",
		renew: 9500 * ms, edits: []edit{taken(3*s, "b")}, again: 14 * s, until: 24 * s, seed: 48},
	{name: "run-again-released", about: "Run again after a release: nothing is left of the own observation",
		releaseOnCancel: true, cancel: 3 * s, again: 4 * s, until: 7 * s, seed: 52},
	{name: "run-again-create-cancelled", about: "cancelled while a create is out: Run again leads by its observation, and has to read first",
		edits: []edit{deleted(3 * s)}, cancel: 4032 * ms, again: 6 * s, until: 9 * s, seed: 53},
	{name: "fast-path-ends", about: "renewals fail for longer than the lease by the observation: then a renewal begins with a read",
		lease: 5 * s, renew: 4500 * ms, retry: 3600 * ms, fates: fates(4, refused(500, 1600*ms), 5, refused(500, 500*ms)), until: 16 * s, seed: 49},
}
