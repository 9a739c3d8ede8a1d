// load sends TokenReviews to a webhook on loopback and reports how that went, as one JSON object on standard output.
//
// HTTP/1.1 is written by hand over TLS, a connection for each worker, so that the loader costs little of the machine that it shares
// with the server; HTTP/2 is net/http's, one connection for all workers, as kube-apiserver has it. With -rate the requests have
// their times beforehand, and latency counts from then: a server that stalls does not slow the questions down.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	target      = flag.String("url", "", "the webhook: https://127.0.0.1:PORT/authenticate")
	ca          = flag.String("ca", "", "PEM certificates to trust")
	name        = flag.String("name", "localhost", "the name that the certificate is for")
	workers     = flag.Int("workers", 128, "connections (HTTP/1.1) or streams (HTTP/2)")
	requests    = flag.Int("requests", 0, "how many requests; 0: as many as fit into -seconds")
	seconds     = flag.Float64("seconds", 3, "for how long, at most")
	rate        = flag.Float64("rate", 0, "requests a second; 0: each worker asks again once it was answered")
	http2       = flag.Bool("http2", false, "HTTP/2")
	distinct    = flag.Bool("distinct", false, "a token that was never seen for each request")
	straight    = flag.Bool("sts", false, "the target is the fake STS itself: GET the presigned URL")
	bodies      = flag.Int("bodies", 0, "print so many distinct bodies, one a line, and send nothing")
	maxRequests = 2_000_000
)

// source makes the requests' bodies. Tokens are as long as those of an assumed role; what signs them nobody verifies.
type source struct {
	head string
	run  string
	next atomic.Int64
	one  []byte
}

func newSource() *source {
	now := time.Now().UTC()
	random := make([]byte, 32)
	_, _ = rand.Read(random)
	query := "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLEEXAMPLE00%2F" +
		now.Format("20060102") + "%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date=" + now.Format("20060102T150405Z") +
		"&X-Amz-Expires=60&X-Amz-Security-Token=" + url.QueryEscape(strings.Repeat("IQoJb3JpZ2luX2Vj/+", 24)) +
		"&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature="
	s := &source{head: query, run: hex.EncodeToString(random[:8])}
	s.one = s.body(0)
	return s
}

func (s *source) query(number int64) string {
	digest := sha256.Sum256([]byte(s.run + strconv.FormatInt(number, 10)))
	return s.head + hex.EncodeToString(digest[:])
}

func (s *source) body(number int64) []byte {
	token := "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte("https://sts.us-east-1.amazonaws.com/?"+s.query(number)))
	return []byte(`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1beta1","metadata":{"creationTimestamp":null},"spec":{"token":"` +
		token + `"},"status":{"user":{}}}`)
}

func (s *source) take() []byte {
	if *distinct {
		return s.body(s.next.Add(1))
	}
	return s.one
}

// asker sends one request and says whether the answer lets the user in.
type asker func(s *source) (bool, error)

func tlsConfig(protocol string) *tls.Config {
	pem, err := os.ReadFile(*ca)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: *name, NextProtos: []string{protocol}}
}

func http1(address *url.URL, config *tls.Config) asker {
	var conn *tls.Conn
	var reader *bufio.Reader
	var out bytes.Buffer
	ask := func(s *source) (bool, error) {
		if conn == nil {
			made, err := tls.Dial("tcp", address.Host, config)
			if err != nil {
				return false, err
			}
			conn, reader = made, bufio.NewReaderSize(made, 16384)
		}
		out.Reset()
		if *straight {
			fmt.Fprintf(&out, "GET /?%s HTTP/1.1\r\nHost: sts\r\nAccept: application/json\r\n\r\n", s.query(s.next.Add(1)))
		} else {
			body := s.take()
			fmt.Fprintf(&out, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", address.Path, len(body))
			out.Write(body)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := conn.Write(out.Bytes()); err != nil {
			return false, err
		}
		return readAnswer(reader)
	}
	return func(s *source) (bool, error) {
		allowed, err := ask(s)
		if err != nil && conn != nil {
			_ = conn.Close()
			conn = nil
		}
		return allowed, err
	}
}

var length = []byte("content-length:")

func readAnswer(reader *bufio.Reader) (bool, error) {
	status, err := reader.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	good := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	size := -1
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		if len(line) <= 2 {
			break
		}
		if len(line) > len(length) && bytes.EqualFold(line[:len(length)], length) {
			size, err = strconv.Atoi(string(bytes.TrimSpace(line[len(length):])))
			if err != nil {
				return false, err
			}
		}
	}
	if size < 0 || size > 16384 {
		return false, errors.New("an answer without a usable Content-Length")
	}
	body, err := reader.Peek(size)
	if err != nil {
		return false, err
	}
	allowed := good && lets(body)
	_, err = reader.Discard(size)
	return allowed, err
}

func lets(body []byte) bool {
	return bytes.Contains(body, []byte(`"authenticated":true`)) || *straight && bytes.Contains(body, []byte(`"Arn"`))
}

func http2Asker(config *tls.Config) asker {
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, MaxConnsPerHost: 1}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return func(s *source) (bool, error) {
		request, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, *target, bytes.NewReader(s.take()))
		request.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(request)
		if err != nil {
			return false, err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if answer.ProtoMajor != 2 {
			return false, errors.New("not HTTP/2")
		}
		return answer.StatusCode == 200 && lets(body), err
	}
}

type tally struct {
	latencies []time.Duration
	denied    int
	failed    int
	problem   string
}

func main() {
	flag.Parse()
	if *bodies > 0 {
		made := newSource()
		for number := range *bodies {
			fmt.Printf("%s\n", made.body(int64(number)))
		}
		return
	}
	address, err := url.Parse(*target)
	if err != nil {
		log.Fatal(err)
	}
	if ip := net.ParseIP(address.Hostname()); ip == nil || !ip.IsLoopback() {
		log.Fatal("load goes to loopback addresses only")
	}
	var shared asker
	if *http2 {
		shared = http2Asker(tlsConfig("h2"))
	}
	made := newSource()
	tallies := make([]tally, *workers)
	askers := make([]asker, *workers)
	var ready sync.WaitGroup
	for i := range askers {
		askers[i] = shared
		if shared == nil {
			askers[i] = http1(address, tlsConfig("http/1.1"))
		}
		// The first request of each connection opens it, and is not counted.
		ready.Add(1)
		go func(ask asker) { defer ready.Done(); _, _ = ask(made) }(askers[i])
	}
	ready.Wait()

	limit := *requests
	if limit == 0 || limit > maxRequests {
		limit = maxRequests
	}
	var taken atomic.Int64
	start := time.Now()
	end := start.Add(time.Duration(*seconds * float64(time.Second)))
	var done sync.WaitGroup
	for i := range tallies {
		done.Add(1)
		go func(ask asker, mine *tally) {
			defer done.Done()
			for {
				number := taken.Add(1) - 1
				if number >= int64(limit) {
					return
				}
				due := time.Now()
				if *rate > 0 {
					due = start.Add(time.Duration(float64(number) / *rate * float64(time.Second)))
				}
				if due.After(end) {
					return
				}
				time.Sleep(time.Until(due))
				allowed, err := ask(made)
				switch {
				case err != nil:
					mine.failed++
					mine.problem = err.Error()
				case !allowed:
					mine.denied++
				default:
					mine.latencies = append(mine.latencies, time.Since(due))
				}
			}
		}(askers[i], &tallies[i])
	}
	done.Wait()
	report(tallies, time.Since(start))
}

func report(tallies []tally, took time.Duration) {
	var all []time.Duration
	var sum tally
	for _, one := range tallies {
		all = append(all, one.latencies...)
		sum.denied += one.denied
		sum.failed += one.failed
		if one.problem != "" {
			sum.problem = one.problem
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	at := func(share float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return float64(all[min(len(all)-1, int(share*float64(len(all))))]) / 1e6
	}
	var after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := float64(after.Utime.Nano()+after.Stime.Nano()) / 1e9 // since this process began
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"allowed": len(all), "denied": sum.denied, "failed": sum.failed, "problem": sum.problem,
		"seconds": took.Seconds(), "rate": float64(len(all)) / took.Seconds(), "cpu_seconds": cpu,
		"p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "max_ms": at(1),
	})
}
