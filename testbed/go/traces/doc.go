// Package traces records what client-go's leader elector does, in virtual time, as data for the simulator's peer.
//
// Nothing of client-go is changed: the elector, its LeaseLock, the typed client and net/http's client are the real
// ones, configured as resourcelock.NewFromKubeconfig does it. Below them is a scripted network with one Lease behind
// it. All of this is in the tests, because virtual time (testing/synctest) is to be had only there.
//
//	go test ./traces            compares with the recorded traces
//	go test ./traces -update    records them
package traces
