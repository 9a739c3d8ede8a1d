"""Examples in the help of every command, written for the name under which the program was started."""

from __future__ import annotations

from collections.abc import Mapping

Example = tuple[str, str]
"""A description of a command line, and its words after the program's name."""

EXAMPLES: Mapping[str, tuple[Example, ...]] = {
    "kubeconfig": (
        ("Print the kubeconfig of a level, to share it", "kubeconfig developer > developer.yaml"),
        (
            "Put it into your own kubeconfig, to sign in with the AWS profile work",
            "kubeconfig developer --merge --profile work",
        ),
        ("Name the program that kubectl runs by its path", "kubeconfig developer --exec-command /opt/bin/kube-iam"),
        ("Take endpoint and certificate authority from EKS", "kubeconfig developer --eks prod"),
    ),
    "doctor": (
        ("Check the sign-in of the current kubeconfig context", "doctor"),
        ("Check that of a level, or of a context", "doctor developer"),
        ("Find out why alice cannot sign in by a level, as an administrator", "doctor alice developer"),
        ("Print the results for a program", "doctor --context prod-developer -o json"),
    ),
    "new": (
        ("Write access.yaml for the current kubeconfig context", "new"),
        ("Print it for another context", "new --context prod -"),
        ("Write it for an EKS cluster", "new --eks prod --region eu-central-1 prod.yaml"),
    ),
    "import": (
        ("Write access.yaml for the mapping of the current context's cluster", "import"),
        ("Print it for the ConfigMap aws-auth of another context", "import --from aws-auth --context prod -"),
        ("Write it for a config.yaml on disk", "import --from /etc/kubernetes/config.yaml prod.yaml"),
    ),
    "validate": (
        ("Check access.yaml", "validate"),
        ("Check a file of another name, for a program", "validate -f prod.yaml -o json"),
        ("Check the files of a directory together", "validate -f access.d/"),
        ("Check what another program writes", "validate -f - < prod.yaml"),
    ),
    "schema": (("Write the schema for your editor", "schema > access.schema.json"),),
    "plan": (
        ("Show what would change", "plan"),
        ("Exit with 2 where something would change, for CI", "plan -f prod.yaml --detailed-exitcode"),
        ("Take over what exists under the names of the levels", "plan --adopt"),
        ("Save the plan, to carry it out after a review", "plan --out prod.plan"),
    ),
    "drift": (
        ("Exit with 2 where something is not as the file says", "drift -f prod.yaml"),
        ("List the differences for a program", "drift -o json"),
        (
            "Write metrics for node_exporter, from cron",
            "drift -f prod.yaml --textfile /var/lib/node_exporter/kube-iam-prod.prom",
        ),
    ),
    "apply": (
        ("Show the plan, ask, and carry it out", "apply"),
        ("Carry out a saved plan, if nothing has changed since", "apply prod.plan"),
        ("Do not ask, and print what came of each change for a program", "apply -f prod.yaml --yes -o json"),
    ),
    "destroy": (
        ("Show what would be deleted", "destroy --dry-run"),
        ("Delete it after a question", "destroy -f prod.yaml"),
    ),
    "export": (
        ("Print HCL for Terraform", "export terraform > levels.tf"),
        ("Print a CloudFormation template of another file", "export cloudformation -f prod.yaml > levels.yaml"),
        ("Print Terraform's JSON syntax", "export terraform --format json > levels.tf.json"),
    ),
    "grant": (
        ("Give a user a level", "grant alice admin"),
        ("Give two users a level for two hours", "grant alice bob admin --for 2h --reason 'incident 4711'"),
        ("Show what would change", "grant alice admin --dry-run"),
    ),
    "revoke": (
        ("Take a level from a user", "revoke alice admin"),
        ("Refuse the sessions that the user holds too, at once", "revoke alice admin --now"),
    ),
    "who": (
        ("List the members of all levels", "who"),
        ("List a line per user, for a program", "who --by-user -o json"),
    ),
    "who-can": (
        ("List who may read secrets in a namespace", "who-can get secrets -n shop"),
        ("List who may open a shell in any pod, for a program", "who-can create pods/exec -A -o json"),
        ("List who may do everything", "who-can '*' '*.*' -A"),
    ),
    "explain": (
        ("Explain a user and a level, step by step", "explain alice developer"),
        ("Show what every level and entry gives a user", "explain alice"),
        ("Explain a role session, for a program", "explain arn:aws:sts::123456789012:assumed-role/ops/alice -o json"),
    ),
    "report": (
        ("Write the page to a file that only you may read", "report --out report.html"),
        ("Print the findings for a spreadsheet", "report -o csv --table findings > findings.csv"),
        ("Print critical findings alone", "report -o json | jq '.findings[] | select(.severity == \"critical\")'"),
    ),
    "deny": (
        ("Refuse every sign-in of a user for twelve hours", "deny alice"),
        ("Refuse an access key that leaked", "deny AKIAIOSFODNN7EXAMPLE --for 168h --reason 'leaked key'"),
        ("List the denials in force", "deny --list"),
    ),
    "undeny": (("Remove every denial of a user", "undeny alice"),),
    "add": (
        (
            "Map a role to a user name and a group",
            "add role --rolearn arn:aws:iam::123456789012:role/ops --username ops --groups ops",
        ),
    ),
    "add role": (
        (
            "Map a role",
            "add role --rolearn arn:aws:iam::123456789012:role/ops --username ops --groups ops,viewers",
        ),
        (
            "Map a permission set of IAM Identity Center",
            "add role --sso permissionSetName=Ops,accountID=123456789012 --username ops --groups ops",
        ),
    ),
    "add user": (
        (
            "Map a user, and show the change alone",
            "add user --userarn arn:aws:iam::123456789012:user/alice --username alice --groups ops --dry-run",
        ),
    ),
    "server": (
        ("Serve with a configuration", "server -c config.yaml"),
        ("Check a configuration, and serve nothing", "server -c config.yaml --check-config"),
    ),
    "sync": (
        ("Keep the bindings from this machine", "sync --kubeconfig sync.yaml"),
        ("Read IAM more often", "sync --membership-refresh 5s"),
    ),
    "init": (("Make the certificate and the webhook kubeconfig", "init -i prod.example.com"),),
    "verify": (
        ("Check a token", "verify -i prod.example.com -t k8s-aws-v1.EXAMPLE"),
        ("Print its identity for a program", "verify -i prod.example.com -t k8s-aws-v1.EXAMPLE -o json"),
    ),
    "cert": (("Show the certificate of this node's server", "cert status -i prod.example.com"),),
    "cert status": (("Show the certificate", "cert status -i prod.example.com"),),
    "cert rotate": (
        ("Make a new certificate, and have both trusted", "cert rotate -i prod.example.com"),
        ("Use it, once kube-apiserver was restarted", "cert rotate -i prod.example.com --finish"),
    ),
    "install": (
        ("Print all steps for kubeadm", "install kubeadm --image registry.example.com/kube-iam:0.1.0"),
        (
            "Create the server's config.yaml",
            "install kubeadm --image registry.example.com/kube-iam:0.1.0 --only config-map | kubectl create -f -",
        ),
    ),
    "manifest": (
        ("Install the CRD", "manifest crd | kubectl apply -f -"),
        ("Give the server its rights", "manifest rbac | kubectl apply -f -"),
        ("Have kube-apiserver ask the server before each request", "manifest authorizer --for kubeadm"),
    ),
    "manifest authorizer": (
        ("Print all parts for kubeadm", "manifest authorizer --for kubeadm --certificate cert.pem"),
        (
            "Write the AuthorizationConfiguration alone",
            "manifest authorizer --kubernetes-version 1.32 --only configuration > authorization.yaml",
        ),
        ("Print the fields of a kOps cluster", "manifest authorizer --for kops"),
    ),
    "manifest crd": (("Install the CRD", "manifest crd | kubectl apply -f -"),),
    "manifest rbac": (
        ("Give the server its rights", "manifest rbac | kubectl apply -f -"),
        (
            "Give a group of yours what grant, revoke, who and deny need",
            "manifest rbac --for operator --group platform-oncall | kubectl apply -f -",
        ),
    ),
    "manifest admission": (("Refuse writes of denied users", "manifest admission | kubectl apply -f -"),),
    "manifest server": (
        ("Run the server", "manifest server --image registry.example.com/kube-iam:0.1.0 | kubectl apply -f -"),
    ),
    "manifest values": (
        ("Write the values of the chart", "manifest values > values.yaml"),
        ("Run the sync alone, on EKS", "manifest values --no-server > values.yaml"),
    ),
    "manifest sync": (
        (
            "Run it in the cluster",
            "manifest sync --image registry.example.com/kube-iam:0.1.0 | kubectl apply -f -",
        ),
    ),
    "policy": (
        ("Print the policy for the server's role", "policy server > server-policy.json"),
        ("Print what those need who run grant and revoke alone", "policy operator -f prod.yaml > operator.json"),
    ),
    "sandbox": (
        ("Start an AWS account, the webhook and, where the binaries are, a cluster", "sandbox up"),
        ("Use it in this shell", "sandbox env"),
        ("Stop it", "sandbox down"),
    ),
    "sandbox up": (("Start it in a directory of your choice", "sandbox up --dir /tmp/sandbox"),),
    "sandbox down": (("Stop it", "sandbox down --dir /tmp/sandbox"),),
    "sandbox env": (("Print variables that make a shell one of a user", "sandbox env --user alice"),),
    "sandbox exec": (
        ("Run kubectl as a user", "sandbox exec alice -- kubectl get pods"),
        ("Choose the level", "sandbox exec alice --level viewer -- kubectl auth whoami"),
        ("Work in a shell as a user", "sandbox exec alice -- bash"),
    ),
    "sandbox review": (("Ask the webhook about a token on standard input", "sandbox review < token.txt"),),
    "sandbox status": (("Show what runs", "sandbox status"),),
    "version": (("Print the number alone", "version --short"),),
    "help": (("Show the help of a command", "help grant"),),
}
