package traces

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

// line is one line of a trace: at is nanoseconds since the elector was made, and one other field is set.
type line struct {
	At int64 `json:"at"`

	Edit    string `json:"edit,omitempty"`    // somebody else changed the Lease; with Lease, unless it was deleted
	Applied int    `json:"applied,omitempty"` // a write had its effect, or Failed; with the Lease's new version
	Run     bool   `json:"run,omitempty"`     // Run is called, also again
	Cancel  bool   `json:"cancel,omitempty"`  // the context of Run is cancelled
	Reply   int    `json:"reply,omitempty"`   // the answer to a request arrives; with Lease or Failed

	Abandon  int     `json:"abandon,omitempty"`  // client-go waits no longer for a request
	Callback string  `json:"callback,omitempty"` // new_leader (with Leader), started, cancelled, stopped, ended
	Leader   *string `json:"leader,omitempty"`
	Send     int     `json:"send,omitempty"` // a request is sent; with Op, Timeout, and Lease for a write
	Op       string  `json:"op,omitempty"`
	Timeout  int64   `json:"timeout,omitempty"` // nanoseconds until client-go's context of the request ends

	Lease  *flat  `json:"lease,omitempty"`
	Failed string `json:"failed,omitempty"`

	End bool `json:"end,omitempty"` // nothing is recorded after this

	order int
}

// The order of lines of one instant: what happens to the elector, then what it does, its requests last. The
// callbacks run in goroutines of their own, so client-go leaves their order open.
const (
	orderWorld = iota
	orderInput
	orderAbandon
	orderNewLeader
	orderStarted
	orderCancelled
	orderStopped
	orderEnded
	orderSend
	orderEnd
)

// flat is what an elector can see of a Lease.
type flat struct {
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
	spec
}

func flatten(l *lease) *flat {
	if l == nil {
		return nil
	}
	return &flat{ResourceVersion: l.Metadata.ResourceVersion, Annotations: l.clone().Metadata.Annotations, spec: l.Spec}
}

type recorder struct {
	mu      sync.Mutex
	start   time.Time
	lines   []line
	stopped bool
}

func (r *recorder) add(order int, l line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	l.At, l.order = int64(time.Since(r.start)), order
	r.lines = append(r.lines, l)
}

func (r *recorder) edited(what string, l *lease) {
	r.add(orderWorld, line{Edit: what, Lease: flatten(l)})
}

// applied is for people who read the trace: what was stored is what was sent.
func (r *recorder) applied(id int, op string, outcome result) {
	l := line{Applied: id, Failed: failure(outcome)}
	if outcome.lease != nil {
		l.Lease = &flat{ResourceVersion: outcome.lease.Metadata.ResourceVersion}
	}
	if op != "get" {
		r.add(orderWorld, l)
	}
}

func (r *recorder) run()    { r.add(orderInput, line{Run: true}) }
func (r *recorder) cancel() { r.add(orderInput, line{Cancel: true}) }

func (r *recorder) replied(id int, outcome result) {
	r.add(orderInput, line{Reply: id, Lease: flatten(outcome.lease), Failed: failure(outcome)})
}

func (r *recorder) abandoned(id int) { r.add(orderAbandon, line{Abandon: id}) }

func (r *recorder) newLeader(identity string) {
	r.add(orderNewLeader, line{Callback: "new_leader", Leader: &identity})
}

func (r *recorder) callback(order int, name string) { r.add(order, line{Callback: name}) }

func (r *recorder) sent(id int, op string, l *lease, timeout time.Duration) {
	r.add(orderSend, line{Send: id, Op: op, Lease: flatten(l), Timeout: int64(timeout)})
}

// end closes the trace and gives its lines.
func (r *recorder) end() []line {
	r.add(orderEnd, line{End: true})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	slices.SortStableFunc(r.lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.order, b.order))
	})
	return r.lines
}

// failure names an answer as lease_core::LockErrorKind does, so that the peer's test can feed it.
func failure(outcome result) string {
	switch outcome.code {
	case http.StatusOK, http.StatusCreated:
		return ""
	case 0:
		return "unknown"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusConflict:
		return "conflict"
	case http.StatusForbidden, http.StatusUnprocessableEntity:
		return "denied"
	default:
		return "unavailable"
	}
}

func encode(header any, lines []line) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	if err := encoder.Encode(header); err != nil {
		return nil, err
	}
	for _, l := range lines {
		if err := encoder.Encode(l); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}
