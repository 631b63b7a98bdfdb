// Package sdk holds how the stubs of Signet's API are generated. The SDK itself is the package signet.
package sdk

//go:generate buf generate
