// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package bindings

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unbound is what the SDK has no use for. An import that is not bound is not imported.
var unbound = []string{
	"functionstream:packed/state@0.1.0 get-many",
	// It keeps a cell, which says the same.
	"functionstream:packed/progress@0.1.0 undone",
	// Stores are kept as long as the instance.
	"functionstream:core/kv@0.1.0 [resource-drop]store",
}

func TestEveryImportOfTheWorldsIsBound(t *testing.T) {
	imports, _ := worlds(t)
	compare(t, append(directives(t, "wasmimport"), unbound...), imports)
}

func TestEveryExportOfTheWorldsIsBound(t *testing.T) {
	_, exports := worlds(t)
	bound := directives(t, "wasmexport")
	bound = slices.DeleteFunc(bound, func(name string) bool { return strings.HasPrefix(name, "cabi_realloc") })
	compare(t, bound, exports)
}

func TestTheWorldsAreThoseOfTheRepository(t *testing.T) {
	for copied, original := range map[string]string{"processor.wit": "core/processor.wit", "packed.wit": "packed/packed.wit"} {
		theirs, err := os.ReadFile(filepath.Join("../../wit", original))
		if os.IsNotExist(err) {
			t.Skip("the SDK is not in its repository")
		}
		if ours, _ := os.ReadFile(filepath.Join("../wit", copied)); err != nil || string(ours) != string(theirs) {
			t.Errorf("%s is not the repository's: make wit", copied)
		}
	}
}

func compare(t *testing.T, bound, wanted []string) {
	slices.Sort(bound)
	slices.Sort(wanted)
	for _, name := range wanted {
		if !slices.Contains(bound, name) {
			t.Errorf("%s is not bound", name)
		}
	}
	for _, name := range bound {
		if !slices.Contains(wanted, name) {
			t.Errorf("%s is bound, but no world has it", name)
		}
	}
}

var (
	functionLine  = regexp.MustCompile(`^\s*(export )?(?:%?([a-z-]+): func|(constructor))\b`)
	packageLine   = regexp.MustCompile(`^package ([a-z-]+:[a-z-]+)@(.*);`)
	interfaceLine = regexp.MustCompile(`^interface ([a-z-]+)`)
	resourceLine  = regexp.MustCompile(`^\s*resource ([a-z-]+)`)
)

// worlds reads the functions that the worlds import and export, as core modules name them.
func worlds(t *testing.T) (imports, exports []string) {
	for _, name := range []string{"processor.wit", "packed.wit"} {
		file, err := os.Open(filepath.Join("../wit", name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var pkg, version, iface, resource string
		for lines := bufio.NewScanner(file); lines.Scan(); {
			line := lines.Text()
			if m := packageLine.FindStringSubmatch(line); m != nil {
				pkg, version = m[1], m[2]
			} else if m := interfaceLine.FindStringSubmatch(line); m != nil {
				iface, resource = pkg+"/"+m[1]+"@"+version, ""
			} else if m := resourceLine.FindStringSubmatch(line); m != nil {
				resource = m[1]
				imports = append(imports, iface+" [resource-drop]"+resource)
			} else if m := functionLine.FindStringSubmatch(line); m != nil {
				switch {
				case m[1] != "":
					exports = append(exports, m[2])
				case strings.Contains(iface, "/function@"), strings.Contains(iface, "/timer-handler@"):
					exports = append(exports, iface+"#"+m[2])
				case m[3] != "":
					imports = append(imports, iface+" [constructor]"+resource)
				case resource != "":
					imports = append(imports, iface+" [method]"+resource+"."+m[2])
				default:
					imports = append(imports, iface+" "+m[2])
				}
			}
		}
	}
	if len(imports) < 15 || len(exports) != 17 {
		t.Fatalf("the worlds have %d imports and %d exports?", len(imports), len(exports))
	}
	return imports, exports
}

// directives reads what follows a directive in the SDK's files.
func directives(t *testing.T, directive string) (found []string) {
	err := filepath.WalkDir("..", func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, line := range strings.Split(string(text), "\n") {
			if rest, ok := strings.CutPrefix(line, "//go:"+directive+" "); ok {
				found = append(found, rest)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
