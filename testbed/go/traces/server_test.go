package traces

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"
)

// A lease as it is on the wire. What client-go writes is read from its requests and never from its memory, so
// precision is lost where it is lost in truth.
type lease struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Spec       spec     `json:"spec"`
}

type metadata struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	UID             string            `json:"uid,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
}

type spec struct {
	HolderIdentity       *string `json:"holderIdentity,omitempty"`
	LeaseDurationSeconds *int32  `json:"leaseDurationSeconds,omitempty"`
	AcquireTime          string  `json:"acquireTime,omitempty"`
	RenewTime            string  `json:"renewTime,omitempty"`
	LeaseTransitions     *int32  `json:"leaseTransitions,omitempty"`
	Strategy             string  `json:"strategy,omitempty"`
}

func (l *lease) clone() *lease {
	if l == nil {
		return nil
	}
	other := *l
	other.Metadata.Annotations = maps.Clone(l.Metadata.Annotations)
	return &other
}

// fate is what becomes of a request: it is applied after apply and answered after reply, both since it was sent.
// Times below zero mean never.
type fate struct {
	apply, reply time.Duration
	// fail answers with this instead of the result: a status code, or 0 for a broken connection.
	fail *int
}

func answered(apply, reply time.Duration) fate { return fate{apply: apply, reply: reply} }

// refused is an error of the server, certainly not applied.
func refused(code int, reply time.Duration) fate { return fate{apply: -1, reply: reply, fail: &code} }

// lost is a request without an answer that never arrives.
func lost() fate { return fate{apply: -1, reply: -1} }

// unanswered is applied, and its answer is lost.
func unanswered(apply time.Duration) fate { return fate{apply: apply, reply: -1} }

// broken is applied, and the connection breaks instead of an answer.
func broken(apply, reply time.Duration) fate { return fate{apply: apply, reply: reply, fail: new(int)} }

// server keeps one Lease as a Kubernetes API server does, behind a network that does what the script says.
type server struct {
	mu       sync.Mutex
	lease    *lease
	revision int
	uids     int
	requests int
	outcomes map[int]result
	fates    map[int]fate
	usual    fate
	trace    *recorder
}

// edit changes the lease behind the elector's back; nil deletes it.
func (s *server) edit(what string, change func(*lease) *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := change(s.lease.clone())
	switch {
	case changed != nil && s.lease != nil && reflect.DeepEqual(changed, s.lease):
		return
	case changed == nil:
		s.revision++
		s.lease = nil
	case s.lease == nil:
		s.put(changed, true)
	default:
		s.put(changed, false)
	}
	s.trace.edited(what, s.lease)
}

func (s *server) put(l *lease, fresh bool) {
	s.revision++
	if fresh {
		s.uids++
		l.Metadata.UID = fmt.Sprintf("uid-%d", s.uids)
	}
	l.APIVersion, l.Kind = "coordination.k8s.io/v1", "Lease"
	l.Metadata.Name, l.Metadata.Namespace = "jobs", "default"
	l.Metadata.ResourceVersion = strconv.Itoa(s.revision)
	s.lease = l
}

// result of a request: a status code, and the lease when it is a good one.
type result struct {
	code  int
	lease *lease
}

func (s *server) apply(id int, op string, sent *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	outcome := s.outcome(op, sent)
	s.outcomes[id] = outcome
	s.trace.applied(id, op, outcome)
}

// outcome is what a stock API server makes of the request, for the verbs that an elector uses.
func (s *server) outcome(op string, sent *lease) result {
	switch {
	case op == "get" && s.lease == nil:
		return result{code: http.StatusNotFound}
	case op == "get":
		return result{code: http.StatusOK, lease: s.lease.clone()}
	case sent.Spec.LeaseDurationSeconds != nil && *sent.Spec.LeaseDurationSeconds <= 0,
		sent.Spec.LeaseTransitions != nil && *sent.Spec.LeaseTransitions < 0:
		// ValidateLeaseSpec of k8s.io/kubernetes/pkg/apis/coordination/validation.
		return result{code: http.StatusUnprocessableEntity}
	case op == "create" && s.lease != nil:
		return result{code: http.StatusConflict}
	case op == "create":
		s.put(sent, true)
		return result{code: http.StatusCreated, lease: s.lease.clone()}
	case s.lease == nil || sent.Metadata.UID != s.lease.Metadata.UID || sent.Metadata.ResourceVersion != s.lease.Metadata.ResourceVersion:
		// An update names uid and version, so one of a Lease that is gone is a failed precondition too.
		return result{code: http.StatusConflict}
	default:
		// A write that changes nothing leaves the version alone.
		if !reflect.DeepEqual(flatten(sent), flatten(s.lease)) {
			s.put(sent, false)
		}
		return result{code: http.StatusOK, lease: s.lease.clone()}
	}
}

// RoundTrip is the network and the server: what client-go believes to be its HTTP transport.
func (s *server) RoundTrip(request *http.Request) (*http.Response, error) {
	// As net/http's own transport does: nothing is sent for somebody who no longer waits.
	if err := request.Context().Err(); err != nil {
		return nil, err
	}
	op := map[string]string{http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update"}[request.Method]
	var sent *lease
	if request.Body != nil {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		sent = new(lease)
		if err := json.Unmarshal(body, sent); err != nil {
			return nil, err
		}
	}
	id, fate := s.next()
	timeout := time.Duration(-1)
	if deadline, ok := request.Context().Deadline(); ok {
		timeout = time.Until(deadline)
	}
	s.trace.sent(id, op, sent, timeout)

	if fate.apply >= 0 {
		// Applied also when nobody waits for it any more.
		time.AfterFunc(fate.apply, func() { s.apply(id, op, sent) })
	}
	answer := make(chan struct{})
	if fate.reply >= 0 {
		timer := time.AfterFunc(fate.reply, func() { close(answer) })
		defer timer.Stop()
	}
	select {
	case <-request.Context().Done():
		s.trace.abandoned(id)
		return nil, request.Context().Err()
	case <-answer:
	}
	outcome := s.answer(id, fate)
	s.trace.replied(id, outcome)
	if outcome.code == 0 {
		return nil, errors.New("connection broken")
	}
	return response(request, outcome), nil
}

func (s *server) next() (int, fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if fate, scripted := s.fates[s.requests]; scripted {
		return s.requests, fate
	}
	return s.requests, s.usual
}

func (s *server) answer(id int, fate fate) result {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fate.fail != nil {
		return result{code: *fate.fail}
	}
	return s.outcomes[id]
}

func response(request *http.Request, outcome result) *http.Response {
	body := any(outcome.lease)
	if outcome.lease == nil {
		reasons := map[int]string{404: "NotFound", 409: "Conflict", 403: "Forbidden", 422: "Invalid", 500: "InternalError"}
		body = map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure",
			"code": outcome.code, "reason": reasons[outcome.code], "message": "scripted"}
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return &http.Response{
		StatusCode: outcome.code, Request: request, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(text)), ContentLength: int64(len(text)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}
