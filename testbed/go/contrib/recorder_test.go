package contrib

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/k8sclusterreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

var update = flag.Bool("update", false, "write the recordings instead of comparing with them")

const folder = "../../../lease-otel/testdata/k8s_cluster"

// configs are the sections that are recorded, each in a file of its own.
var configs = map[string]map[string]any{
	"default": {},
	"nodes": {
		"node_conditions_to_report":   []any{"Ready", "MemoryPressure", "PIDPressure", "NetworkUnavailable", "NeverHeardOf"},
		"allocatable_types_to_report": []any{"cpu", "memory", "ephemeral-storage", "storage", "pods", "hugepages-2Mi", "nvidia.com/gpu"},
	},
	"everything": {
		"metrics": enabled("k8s.container.status.reason", "k8s.container.status.state", "k8s.node.condition",
			"k8s.pod.status_reason"),
		"resource_attributes": enabled("container.runtime", "container.runtime.version",
			"k8s.container.status.last_terminated_reason", "k8s.hpa.scaletargetref.apiversion",
			"k8s.hpa.scaletargetref.kind", "k8s.hpa.scaletargetref.name", "k8s.kubelet.version", "k8s.pod.qos_class",
			"os.description", "os.type"),
	},
	"namespaces": {"namespaces": []any{"shop"}},
}

func enabled(names ...string) map[string]any {
	all := map[string]any{}
	for _, name := range names {
		all[name] = map[string]any{"enabled": true}
	}
	return all
}

// host is what the receiver asks its host for, and no exporter is a metadata exporter here.
type host struct{ component.Host }

func (host) GetExporters() map[pipeline.Signal]map[component.ID]component.Component { return nil }

func TestRecordings(t *testing.T) {
	server := httptest.NewServer(serve(t))
	defer server.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x","clusters":[{"name":"x","cluster":{"server":%q}}],`+
		`"users":[{"name":"x","user":{}}],"contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}]}`, server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)
	for name, config := range configs {
		t.Run(name, func(t *testing.T) {
			got := normal(t, record(t, config))
			path := filepath.Join(folder, name+".json")
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
				t.Errorf("the receiver does not export what was recorded; it does now:\n%s", got)
			}
		})
	}
}

// record runs the receiver until its first batch.
func record(t *testing.T, config map[string]any) pmetric.Metrics {
	section := map[string]any{"auth_type": "kubeConfig", "collection_interval": "200ms"}
	for key, value := range config {
		section[key] = value
	}
	factory := k8sclusterreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(section).Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	sink := new(consumertest.MetricsSink)
	settings := receivertest.NewNopSettings(factory.Type())
	receiver, err := factory.CreateMetrics(context.Background(), settings, cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Start(context.Background(), host{componenttest.NewNopHost()}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = receiver.Shutdown(context.Background()) }()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if all := sink.AllMetrics(); len(all) > 0 && all[0].ResourceMetrics().Len() > 0 {
			return all[0]
		}
	}
	t.Fatal("nothing was exported within 20 s")
	return pmetric.Metrics{}
}

// normal is the batch as OTLP's JSON in an order of its own, without words, and with "1" for every time.
func normal(t *testing.T, metrics pmetric.Metrics) []byte {
	text, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(metrics)
	if err != nil {
		t.Fatal(err)
	}
	var batch any
	if err := json.Unmarshal(text, &batch); err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(sorted("", batch), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// sorted orders every list by the JSON of its items: what the receiver iterates over are maps.
func sorted(key string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		// What is said about a metric, and of which build, are words.
		delete(value, "description")
		delete(value, "version")
		for key, item := range value {
			value[key] = sorted(key, item)
		}
	case []any:
		texts := make([]string, len(value))
		for i, item := range value {
			value[i] = sorted("", item)
			text, _ := json.Marshal(value[i])
			texts[i] = string(text)
		}
		sort.Sort(byText{value, texts})
	case string:
		if strings.HasSuffix(key, "UnixNano") && value != "0" {
			return "1"
		}
	}
	return value
}

type byText struct {
	items []any
	texts []string
}

func (b byText) Len() int           { return len(b.items) }
func (b byText) Less(i, j int) bool { return b.texts[i] < b.texts[j] }
func (b byText) Swap(i, j int) {
	b.items[i], b.items[j] = b.items[j], b.items[i]
	b.texts[i], b.texts[j] = b.texts[j], b.texts[i]
}

// object is one of the fixed set.
type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

// plural is how the API calls the objects of a kind; it fits all that are used here.
func plural(kind string) string { return strings.ToLower(kind) + "s" }

// serve answers lists, watches and discovery as an API server does that has these objects, and never changes.
func serve(t *testing.T) http.HandlerFunc {
	text, err := os.ReadFile(filepath.Join(folder, "objects.json"))
	if err != nil {
		t.Fatal(err)
	}
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		t.Fatal(err)
	}
	lists := map[string][]json.RawMessage{}
	kinds := map[string]map[string]bool{}
	for _, item := range items {
		var o object
		if err := json.Unmarshal(item, &o); err != nil {
			t.Fatal(err)
		}
		if kinds[o.APIVersion] == nil {
			kinds[o.APIVersion] = map[string]bool{}
		}
		kinds[o.APIVersion][o.Kind] = true
		for _, path := range []string{plural(o.Kind), "namespaces/" + o.Metadata.Namespace + "/" + plural(o.Kind)} {
			path = o.APIVersion + "/" + path
			lists[path] = append(lists[path], item)
		}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/apis/"), "/api/")
		w.Header().Set("Content-Type", "application/json")
		if found, ok := kinds[path]; ok {
			resources := []map[string]any{}
			for kind := range found {
				resources = append(resources, map[string]any{"name": plural(kind), "kind": kind, "verbs": []string{"list", "watch"}})
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": "APIResourceList", "groupVersion": path, "resources": resources})
			return
		}
		query := r.URL.Query()
		if query.Get("watch") == "" {
			list := map[string]any{"metadata": map[string]any{"resourceVersion": "1"}, "items": append([]json.RawMessage{}, lists[path]...)}
			for version, found := range kinds {
				for kind := range found {
					if strings.HasPrefix(path, version+"/") && strings.HasSuffix(path, "/"+plural(kind)) {
						list["apiVersion"], list["kind"] = version, kind+"List"
					}
				}
			}
			_ = json.NewEncoder(w).Encode(list)
			return
		}
		if query.Get("sendInitialEvents") == "true" {
			// The receiver's library falls back to a list.
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`))
			return
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}
