// Command etcd is the stock etcd server, built from its module.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"testbed/internal/lifeline"
)

func main() {
	lifeline.Hold()
	etcdmain.Main(os.Args)
}
