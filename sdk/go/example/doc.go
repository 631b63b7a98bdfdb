// Package example has a service that is protected by this SDK (service) and a client of it (client).
package example

//go:generate buf generate ../../.. --config workspace.buf.yaml --path ../../../examples/protected-service/proto/stock
