// The benchmark measures what the guard costs a call, and what a token costs that was never seen.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
)

// This file owns the rounds, and what is printed of them.

// result is what is printed.
type result struct {
	Language string `json:"language"`
	Rounds   int    `json:"rounds"`
	// CallMicros is the CPU time of the server's process for a unary call.
	CallMicros struct {
		Unguarded float64 `json:"unguarded"`
		Seen      float64 `json:"seen"`
	} `json:"call_us"`
	RatioSeen spread `json:"ratio_seen"`
	// TokenMicros is the CPU time of this process for a token, one after the other.
	TokenMicros struct {
		New       float64 `json:"new"`
		Library   float64 `json:"library"`
		Signature float64 `json:"signature"`
	} `json:"token_us"`
	RatioNew spread `json:"ratio_new"`
}

// spread is what the pairs of the rounds gave.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func main() {
	rounds := flag.Int("rounds", 9, "how many pairs there are of each measurement")
	asJSON := flag.Bool("json", false, "print one JSON object")
	serving := flag.String("serve", "", "what the benchmark starts: a server, `guarded` or not")
	flag.Parse()
	var err error
	switch {
	case *serving != "":
		err = serve(*serving == "guarded")
	case *rounds < 1:
		err = errors.New("there must be a round")
	default:
		err = run(*rounds, *asJSON)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(rounds int, asJSON bool) error {
	measured := result{Language: "go", Rounds: rounds}
	calls, err := measureCalls(rounds)
	if err != nil {
		return err
	}
	measured.CallMicros.Unguarded, measured.CallMicros.Seen = median(calls[0]), median(calls[1])
	measured.RatioSeen = ratios(calls[1], calls[0])
	tokens, err := measureTokens(rounds)
	if err != nil {
		return err
	}
	measured.TokenMicros.New, measured.TokenMicros.Library = median(tokens[0]), median(tokens[1])
	measured.TokenMicros.Signature = median(tokens[2])
	measured.RatioNew = ratios(tokens[0], tokens[1])
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(measured)
	}
	c, t := measured.CallMicros, measured.TokenMicros
	fmt.Printf("%d rounds, %s, %s/%s\n", rounds, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Printf("A unary call, CPU time of the server, %d callers at once: %.1f us without the guard, %.1f us with it and a token seen before: %s\n",
		callers, c.Unguarded, c.Seen, measured.RatioSeen)
	fmt.Printf("A new token, CPU time: %.1f us, the same checks by go-jose %.1f us: %s; the signature alone %.1f us\n",
		t.New, t.Library, measured.RatioNew, t.Signature)
	return nil
}

// turns is how often a round goes from one thing to the next: what else the machine does meanwhile hits all of them.
const turns = 10

// inTurns measures several things in each round, in turns whose order changes, and gives the numbers of each.
func inTurns(rounds int, measure []func() (float64, error)) ([][]float64, error) {
	all := make([][]float64, len(measure))
	for round := range rounds {
		sums := make([]float64, len(measure))
		for turn := range turns {
			for step := range measure {
				at := step
				if (round+turn)%2 == 1 {
					at = len(measure) - 1 - step
				}
				micros, err := measure[at]()
				if err != nil {
					return nil, err
				}
				sums[at] += micros
			}
		}
		for at, sum := range sums {
			all[at] = append(all[at], sum/turns)
		}
	}
	return all, nil
}

func median(numbers []float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func ratios(over, under []float64) spread {
	each := make([]float64, len(over))
	for at := range over {
		each[at] = over[at] / under[at]
	}
	return spread{Median: median(each), Min: slices.Min(each), Max: slices.Max(each)}
}

// String is the spread for people.
func (s spread) String() string { return fmt.Sprintf("x %.2f (%.2f to %.2f)", s.Median, s.Min, s.Max) }
