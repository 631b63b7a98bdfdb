package sdk

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// This file owns the check that the stubs are what the protos give.

// buf is the program of that name: SIGNET_TEST_BUF, or the one that the repository fetches.
func buf(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SIGNET_TEST_BUF"); path != "" {
		return path
	}
	command := exec.Command("../../scripts/get-tools", "buf")
	command.Stderr = os.Stderr
	path, err := command.Output()
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there are no protos: this is not the repository of Signet")
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(path))
}

// generateLine is what `go generate` runs for a file.
func generateLine(t *testing.T, path string) []string {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(source)) {
		if command, found := strings.CutPrefix(line, "//go:generate buf "); found {
			return strings.Fields(command)
		}
	}
	t.Fatalf("%s generates nothing", path)
	return nil
}

func TestTheStubsAreWhatTheProtosGive(t *testing.T) {
	for _, c := range []struct{ module, says, stubs string }{
		{".", "generate.go", "identity"}, {"example", "doc.go", "stock"},
	} {
		t.Run(c.module, func(t *testing.T) {
			out := t.TempDir()
			command := exec.Command(buf(t), append(generateLine(t, filepath.Join(c.module, c.says)), "--output", out)...)
			command.Dir = c.module
			if said, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			made, kept := contents(t, filepath.Join(out, c.stubs)), contents(t, filepath.Join(c.module, c.stubs))
			for name := range kept {
				if made[name] == nil {
					t.Errorf("%s is made of no proto: remove it", filepath.Join(c.module, c.stubs, name))
				}
			}
			for name, content := range made {
				if !bytes.Equal(kept[name], content) {
					t.Errorf("%s is not what its proto gives: run `go generate ./...` in sdk/go and in sdk/go/example, with buf on the PATH",
						filepath.Join(c.module, c.stubs, name))
				}
			}
			if len(made) == 0 {
				t.Error("nothing was made")
			}
		})
	}
}

// contents are the files below a folder.
func contents(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	found := make(map[string][]byte)
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		found[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
