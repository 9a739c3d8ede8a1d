// fakests is a FAKE of AWS STS for benchmarks: it verifies nothing, answers who the caller says to be after a delay that can be set,
// and counts. It listens on loopback only.
//
// On its port it takes TLS, or a CONNECT request (RFC 9110, 9.3.6) first: programs that are given it as HTTPS_PROXY believe that
// they talk to sts.REGION.amazonaws.com. The tunnel ends in the same process, so that no bytes are pumped between sockets.
//
// The control port (plain HTTP): GET /counts, and POST /set?delay=20ms&h2=true&reset=true.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const account = "123456789012"

var (
	delay      atomic.Int64
	offerHTTP2 atomic.Bool
	counts     sync.Map // action -> *atomic.Int64
	tunnels    atomic.Int64
	sessions   atomic.Int64
	open       sync.Map // connections
)

func count(action string) {
	counter, ok := counts.Load(action)
	if !ok {
		counter, _ = counts.LoadOrStore(action, new(atomic.Int64))
	}
	counter.(*atomic.Int64).Add(1)
}

// The caller of a presigned URL or of a signed request: keys of assumed roles begin with ASIA, those of users with AKIA.
func identity(credential string) (arn, userID string) {
	if strings.HasPrefix(credential, "AKIA") {
		return "arn:aws:iam::" + account + ":user/alice", "AIDAEXAMPLEEXAMPLE000"
	}
	return "arn:aws:sts::" + account + ":assumed-role/bench-admin/alice", "AROAEXAMPLEEXAMPLE000:alice"
}

func credentialOf(request *http.Request) string {
	if _, rest, found := strings.Cut(request.URL.RawQuery, "X-Amz-Credential="); found {
		return rest
	}
	_, rest, _ := strings.Cut(request.Header.Get("Authorization"), "Credential=")
	return rest
}

func answerSTS(writer http.ResponseWriter, request *http.Request) {
	action := "GetCallerIdentity"
	var form url.Values
	if request.Method == http.MethodPost {
		body, _ := io.ReadAll(io.LimitReader(request.Body, 65536))
		form, _ = url.ParseQuery(string(body))
		action = form.Get("Action")
	}
	count(action)
	if wait := delay.Load(); wait > 0 {
		time.Sleep(time.Duration(wait))
	}
	arn, userID := identity(credentialOf(request))
	body, contentType := "", "text/xml"
	switch {
	case action == "AssumeRole":
		body = assumed(form.Get("RoleArn"), form.Get("RoleSessionName"))
	case action != "GetCallerIdentity":
		http.Error(writer, "this fake knows GetCallerIdentity and AssumeRole", http.StatusBadRequest)
		return
	case strings.Contains(request.Header.Get("Accept"), "json"):
		contentType = "application/json"
		body = `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"` + account + `","Arn":"` + arn + `","UserId":"` +
			userID + `"},"ResponseMetadata":{"RequestId":"00000000-0000-0000-0000-000000000000"}}}`
	default:
		body = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>` + arn +
			`</Arn><UserId>` + userID + `</UserId><Account>` + account + `</Account></GetCallerIdentityResult>` +
			`<ResponseMetadata><RequestId>00000000</RequestId></ResponseMetadata></GetCallerIdentityResponse>`
	}
	writer.Header().Set("Content-Type", contentType)
	_, _ = io.WriteString(writer, body)
}

func assumed(role, session string) string {
	name := role[strings.LastIndex(role, "/")+1:]
	// New keys each time, as STS gives: with the same ones, tokens of the same second would be the same.
	number := sessions.Add(1)
	end := time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05Z")
	return `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>` +
		`<AccessKeyId>` + fmt.Sprintf("ASIA%016d", number) + `</AccessKeyId><SecretAccessKey>bench-secret-access-key-that-opens-nothing</SecretAccessKey>` +
		`<SessionToken>` + strings.Repeat("sessiontoken", 50) + strconv.FormatInt(number, 10) + `</SessionToken><Expiration>` + end + `</Expiration></Credentials>` +
		`<AssumedRoleUser><AssumedRoleId>AROAEXAMPLEEXAMPLE000:` + session + `</AssumedRoleId><Arn>arn:aws:sts::` + account +
		`:assumed-role/` + name + `/` + session + `</Arn></AssumedRoleUser></AssumeRoleResult>` +
		`<ResponseMetadata><RequestId>00000000</RequestId></ResponseMetadata></AssumeRoleResponse>`
}

// listener hands out TLS connections, whether they came straight or through a CONNECT.
type listener struct {
	net.Listener
	config *tls.Config
	ready  chan net.Conn
}

func (l *listener) accept() {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go l.open(conn)
	}
}

func (l *listener) open(conn net.Conn) {
	reader := bufio.NewReader(conn)
	first, err := reader.Peek(1)
	if err != nil {
		_ = conn.Close()
		return
	}
	if first[0] == 'C' {
		request, err := http.ReadRequest(reader)
		if err != nil || request.Method != http.MethodConnect || !strings.HasPrefix(request.Host, "sts.") {
			_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\n\r\n")
			_ = conn.Close()
			return
		}
		tunnels.Add(1)
		if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			_ = conn.Close()
			return
		}
	}
	l.ready <- tls.Server(&peeked{conn, reader}, l.config)
}

func (l *listener) Accept() (net.Conn, error) { return <-l.ready, nil }

// peeked is a connection whose first bytes wait in a buffer.
type peeked struct {
	net.Conn
	reader *bufio.Reader
}

func (p *peeked) Read(into []byte) (int, error) {
	if p.reader.Buffered() > 0 {
		return p.reader.Read(into)
	}
	return p.Conn.Read(into)
}

// A connection that is open goes on in the protocol in which it began: whoever wants another has to be hung up on.
func hangUp() {
	open.Range(func(conn, _ any) bool {
		_ = conn.(net.Conn).Close()
		return true
	})
}

func remember(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		open.Store(conn, nil)
	case http.StateClosed, http.StateHijacked:
		open.Delete(conn)
	}
}

func control(writer http.ResponseWriter, request *http.Request) {
	if request.Method == http.MethodPost {
		values := request.URL.Query()
		if wait, err := time.ParseDuration(values.Get("delay")); err == nil {
			delay.Store(int64(wait))
		}
		if values.Has("h2") {
			offerHTTP2.Store(values.Get("h2") == "true")
			hangUp()
		}
		if values.Has("reset") {
			counts.Clear()
			tunnels.Store(0)
		}
	}
	found := map[string]any{"tunnels": tunnels.Load()}
	counts.Range(func(action, counter any) bool {
		found[action.(string)] = counter.(*atomic.Int64).Load()
		return true
	})
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	found["cpu_seconds"] = float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
	_ = json.NewEncoder(writer).Encode(found)
}

func main() {
	certificate := flag.String("cert", "", "PEM certificate for the names of STS")
	key := flag.String("key", "", "its key")
	flag.Parse()
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	if err != nil {
		log.Fatal(err)
	}
	both := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	one := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	both.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if offerHTTP2.Load() {
			return nil, nil
		}
		return one, nil
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	controlPort, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d %d\n", port.Addr().(*net.TCPAddr).Port, controlPort.Addr().(*net.TCPAddr).Port)
	_ = os.Stdout.Sync()
	connections := &listener{port, both, make(chan net.Conn)}
	go connections.accept()
	go func() { log.Fatal(http.Serve(controlPort, http.HandlerFunc(control))) }()
	server := &http.Server{Handler: http.HandlerFunc(answerSTS), TLSConfig: both, ConnState: remember, ErrorLog: log.New(io.Discard, "", 0)}
	log.Fatal(server.Serve(connections))
}
