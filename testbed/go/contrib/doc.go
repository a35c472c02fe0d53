// Package contrib records what the OpenTelemetry Collector's k8s_cluster receiver exports for a fixed set of objects.
//
// Nothing of the receiver is changed: it is made by its factory, reads a kubeconfig and informs itself over HTTP. Below
// it is a server of the test that knows the objects, so that uids and times are the same in every run. This is a module
// of its own, because the receiver asks for other versions of Kubernetes than the servers of the testbed are.
//
//	go test ./...            compares with the recorded metrics
//	go test ./... -update    records them
package contrib
