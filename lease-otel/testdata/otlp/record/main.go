// Writes telemetry as the OpenTelemetry Collector does: as protobuf, as the JSON lines of its file exporter, and as its
// debug exporter prints it. The tests of the exporters compare their output with these files. Run it in this directory:
//
//	go run . ..
package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configtelemetry"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/debugexporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . DIRECTORY")
		os.Exit(2)
	}
	if err := record(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func record(dir string) error {
	write := func(name string, data []byte, err error) error {
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), data, 0o644)
	}
	line := func(data []byte, err error) ([]byte, error) { return append(data, '\n'), err }
	md, ld, td := metrics(), logs(), traces()
	var steps []error
	data, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(md)
	steps = append(steps, write("metrics.pb", data, err))
	data, err = line((&pmetric.JSONMarshaler{}).MarshalMetrics(md))
	steps = append(steps, write("metrics.jsonl", data, err))
	data, err = (&plog.ProtoMarshaler{}).MarshalLogs(ld)
	steps = append(steps, write("logs.pb", data, err))
	data, err = line((&plog.JSONMarshaler{}).MarshalLogs(ld))
	steps = append(steps, write("logs.jsonl", data, err))
	data, err = (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	steps = append(steps, write("traces.pb", data, err))
	data, err = line((&ptrace.JSONMarshaler{}).MarshalTraces(td))
	steps = append(steps, write("traces.jsonl", data, err))
	for verbosity, level := range map[string]configtelemetry.Level{
		"basic":    configtelemetry.LevelBasic,
		"normal":   configtelemetry.LevelNormal,
		"detailed": configtelemetry.LevelDetailed,
	} {
		steps = append(steps, debug(dir, verbosity, level, md, ld, td))
	}
	for _, err := range steps {
		if err != nil {
			return err
		}
	}
	return nil
}

// One file for each signal, because the exporter appends to what it is given.
func debug(dir, verbosity string, level configtelemetry.Level, md pmetric.Metrics, ld plog.Logs, td ptrace.Traces) error {
	ctx := context.Background()
	factory := debugexporter.NewFactory()
	settings := exporter.Settings{
		ID:                component.NewID(factory.Type()),
		TelemetrySettings: componenttest.NewNopTelemetrySettings(),
	}
	settings.Logger = zap.NewNop()
	config := func(signal string) (*debugexporter.Config, error) {
		path := filepath.Join(dir, signal+"."+verbosity+".txt")
		if err := os.RemoveAll(path); err != nil {
			return nil, err
		}
		cfg := factory.CreateDefaultConfig().(*debugexporter.Config)
		cfg.Verbosity = level
		cfg.UseInternalLogger = false
		cfg.OutputPaths = []string{path}
		return cfg, nil
	}
	cfg, err := config("metrics")
	if err != nil {
		return err
	}
	m, err := factory.CreateMetrics(ctx, settings, cfg)
	if err != nil {
		return err
	}
	if err = m.ConsumeMetrics(ctx, md); err != nil {
		return err
	}
	if cfg, err = config("logs"); err != nil {
		return err
	}
	l, err := factory.CreateLogs(ctx, settings, cfg)
	if err != nil {
		return err
	}
	if err = l.ConsumeLogs(ctx, ld); err != nil {
		return err
	}
	if cfg, err = config("traces"); err != nil {
		return err
	}
	t, err := factory.CreateTraces(ctx, settings, cfg)
	if err != nil {
		return err
	}
	return t.ConsumeTraces(ctx, td)
}

const (
	start = pcommon.Timestamp(1_700_000_000_000_000_001)
	now   = pcommon.Timestamp(1_700_000_060_120_000_000)
)

var (
	traceID = pcommon.TraceID{0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c}
	spanID  = pcommon.SpanID{0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74}
)

// Values of every kind, and texts with everything that JSON must escape.
func attributes(m pcommon.Map) {
	m.PutStr("text", "a \"quoted\" \\ text,\ta tab, a line\nfeed, <html> & é 日本 \u2028 \x01")
	m.PutStr("empty", "")
	m.PutBool("yes", true)
	m.PutBool("no", false)
	m.PutInt("int", -9_007_199_254_740_993)
	m.PutInt("zero", 0)
	m.PutDouble("double", 0.1)
	m.PutDouble("whole", 3)
	m.PutDouble("large", 1e21)
	m.PutDouble("small", 1e-7)
	m.PutEmptyBytes("bytes").FromRaw([]byte{0, 1, 0xfe, 0xff})
	m.PutEmpty("nothing")
	list := m.PutEmptySlice("list")
	list.AppendEmpty().SetStr("one")
	list.AppendEmpty().SetInt(2)
	list.AppendEmpty().SetEmptyMap().PutStr("k", "v")
	list.AppendEmpty()
	m.PutEmptySlice("empty list")
	nested := m.PutEmptyMap("map")
	nested.PutInt("z", 1)
	nested.PutStr("a", "b")
	m.PutEmptyMap("empty map")
}

func scope(s pcommon.InstrumentationScope) {
	s.SetName("github.com/open-telemetry/receiver")
	s.SetVersion("v1.2.3")
	s.Attributes().PutStr("scope", "attribute")
	s.SetDroppedAttributesCount(2)
}

func exemplar(e pmetric.Exemplar) {
	e.SetTimestamp(now)
	e.SetTraceID(traceID)
	e.SetSpanID(spanID)
	e.FilteredAttributes().PutStr("filtered", "yes")
}

func metrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.SetSchemaUrl("https://opentelemetry.io/schemas/1.18.0")
	attributes(rm.Resource().Attributes())
	rm.Resource().SetDroppedAttributesCount(1)
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.SetSchemaUrl("https://opentelemetry.io/schemas/1.18.0")
	scope(sm.Scope())

	gauge := sm.Metrics().AppendEmpty()
	gauge.SetName("k8s.node.condition_ready")
	gauge.SetDescription("Whether the node is ready")
	gauge.SetUnit("1")
	gauge.Metadata().PutStr("origin", "kubelet")
	points := gauge.SetEmptyGauge().DataPoints()
	p := points.AppendEmpty()
	p.SetTimestamp(now)
	p.SetIntValue(-1)
	p.Attributes().PutStr("state", "Unknown")
	p = points.AppendEmpty()
	p.SetStartTimestamp(start)
	p.SetTimestamp(now)
	p.SetDoubleValue(0.25)
	p.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	points.AppendEmpty().SetIntValue(0)
	points.AppendEmpty().SetDoubleValue(0)
	points.AppendEmpty().SetDoubleValue(math.NaN())
	points.AppendEmpty().SetDoubleValue(math.Inf(1))
	points.AppendEmpty().SetDoubleValue(math.Inf(-1))
	points.AppendEmpty().SetDoubleValue(-1234567.891e15)
	points.AppendEmpty().SetDoubleValue(1e100)
	points.AppendEmpty()

	sum := sm.Metrics().AppendEmpty()
	sum.SetName("requests")
	s := sum.SetEmptySum()
	s.SetIsMonotonic(true)
	s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p = s.DataPoints().AppendEmpty()
	p.SetStartTimestamp(start)
	p.SetTimestamp(now)
	p.SetIntValue(math.MaxInt64)
	e := p.Exemplars().AppendEmpty()
	exemplar(e)
	e.SetIntValue(7)

	histogram := sm.Metrics().AppendEmpty()
	histogram.SetName("latency")
	histogram.SetUnit("s")
	h := histogram.SetEmptyHistogram()
	h.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	hp := h.DataPoints().AppendEmpty()
	hp.SetStartTimestamp(start)
	hp.SetTimestamp(now)
	hp.SetCount(math.MaxUint64)
	hp.SetSum(12.5)
	hp.SetMin(0)
	hp.SetMax(10)
	hp.BucketCounts().FromRaw([]uint64{0, 3, math.MaxUint64})
	hp.ExplicitBounds().FromRaw([]float64{0.005, 10})
	hp.Attributes().PutInt("code", 200)
	e = hp.Exemplars().AppendEmpty()
	exemplar(e)
	e.SetDoubleValue(0.5)
	h.DataPoints().AppendEmpty()

	exponential := sm.Metrics().AppendEmpty()
	exponential.SetName("sizes")
	x := exponential.SetEmptyExponentialHistogram()
	x.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	xp := x.DataPoints().AppendEmpty()
	xp.SetStartTimestamp(start)
	xp.SetTimestamp(now)
	xp.SetCount(10)
	xp.SetSum(-3)
	xp.SetMin(-2)
	xp.SetMax(4)
	xp.SetScale(-1)
	xp.SetZeroCount(2)
	xp.SetZeroThreshold(1e-3)
	xp.Positive().SetOffset(-2)
	xp.Positive().BucketCounts().FromRaw([]uint64{1, 0, 2})
	xp.Negative().SetOffset(3)
	xp.Negative().BucketCounts().FromRaw([]uint64{4, 1})
	xp.SetFlags(1)
	x.DataPoints().AppendEmpty()

	summary := sm.Metrics().AppendEmpty()
	summary.SetName("quantiles")
	sp := summary.SetEmptySummary().DataPoints().AppendEmpty()
	sp.SetStartTimestamp(start)
	sp.SetTimestamp(now)
	sp.SetCount(5)
	sp.SetSum(15)
	q := sp.QuantileValues().AppendEmpty()
	q.SetQuantile(0.5)
	q.SetValue(3)
	q = sp.QuantileValues().AppendEmpty()
	q.SetQuantile(0)
	sp.Attributes().PutStr("a", "b")

	sm.Metrics().AppendEmpty().SetName("no data")
	sm.Metrics().AppendEmpty().SetEmptyGauge()
	rm.ScopeMetrics().AppendEmpty().Scope().SetName("empty")
	second := md.ResourceMetrics().AppendEmpty()
	second.Resource().Attributes().PutStr("k8s.node.name", "node-1")
	second.ScopeMetrics().AppendEmpty()
	md.ResourceMetrics().AppendEmpty()
	return md
}

func logs() plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.SetSchemaUrl("https://opentelemetry.io/schemas/1.18.0")
	attributes(rl.Resource().Attributes())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.SetSchemaUrl("https://opentelemetry.io/schemas/1.19.0")
	scope(sl.Scope())
	r := sl.LogRecords().AppendEmpty()
	r.SetTimestamp(start)
	r.SetObservedTimestamp(now)
	r.SetSeverityNumber(plog.SeverityNumberWarn)
	r.SetSeverityText("Warning")
	r.Body().SetStr("Back-off restarting failed container")
	r.SetDroppedAttributesCount(3)
	r.SetFlags(plog.DefaultLogRecordFlags.WithIsSampled(true))
	r.SetTraceID(traceID)
	r.SetSpanID(spanID)
	r.SetEventName("BackOff")
	attributes(r.Attributes())
	r = sl.LogRecords().AppendEmpty()
	r.SetSeverityNumber(plog.SeverityNumberFatal4)
	attributes(r.Body().SetEmptyMap())
	sl.LogRecords().AppendEmpty()
	sl.LogRecords().AppendEmpty().SetSeverityNumber(plog.SeverityNumber(99))
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	return ld
}

func traces() ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.SetSchemaUrl("https://opentelemetry.io/schemas/1.18.0")
	attributes(rs.Resource().Attributes())
	ss := rs.ScopeSpans().AppendEmpty()
	ss.SetSchemaUrl("https://opentelemetry.io/schemas/1.19.0")
	scope(ss.Scope())
	s := ss.Spans().AppendEmpty()
	s.SetTraceID(traceID)
	s.SetSpanID(spanID)
	s.SetParentSpanID(pcommon.SpanID{1, 2, 3, 4, 5, 6, 7, 8})
	s.TraceState().FromRaw("vendor=value")
	s.SetFlags(257)
	s.SetName("GET /api")
	s.SetKind(ptrace.SpanKindServer)
	s.SetStartTimestamp(start)
	s.SetEndTimestamp(now)
	attributes(s.Attributes())
	s.SetDroppedAttributesCount(1)
	s.SetDroppedEventsCount(2)
	s.SetDroppedLinksCount(3)
	s.Status().SetCode(ptrace.StatusCodeError)
	s.Status().SetMessage("timed out")
	e := s.Events().AppendEmpty()
	e.SetTimestamp(now)
	e.SetName("retry")
	e.SetDroppedAttributesCount(4)
	e.Attributes().PutInt("attempt", 2)
	s.Events().AppendEmpty()
	l := s.Links().AppendEmpty()
	l.SetTraceID(traceID)
	l.SetSpanID(spanID)
	l.TraceState().FromRaw("k=v")
	l.SetDroppedAttributesCount(5)
	l.SetFlags(1)
	l.Attributes().PutStr("link", "attribute")
	s.Links().AppendEmpty()
	ss.Spans().AppendEmpty()
	s = ss.Spans().AppendEmpty()
	s.SetKind(ptrace.SpanKindConsumer)
	s.Status().SetCode(ptrace.StatusCodeOk)
	td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
	return td
}
