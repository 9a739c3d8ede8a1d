{{- define "kube-iam.image" -}}
{{- $repository := required "image.repository is empty: set it to the image that you built (docs/install.md)" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "kube-iam.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/part-of: kube-iam
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* The ConfigMap of the server's config.yaml. */ -}}
{{- define "kube-iam.config" -}}
{{- with .Values.server.config -}}
{{ .name | default (ternary "kube-iam-config" "aws-iam-authenticator" .create) }}
{{- end -}}
{{- end -}}

{{- define "kube-iam.podSecurity" -}}
runAsUser: 10000
runAsGroup: 10000
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "kube-iam.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "kube-iam.env" -}}
{{- $env := .env -}}
{{- if .region -}}{{ $env = prepend $env (dict "name" "AWS_REGION" "value" .region) }}{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{- /* An object of this chart's files, with the chart's labels and those of monitoring. */ -}}
{{- define "kube-iam.file" -}}
{{- $object := .root.Files.Get .file | fromYaml -}}
{{- $labels := include "kube-iam.labels" .root | fromYaml | merge (deepCopy (.labels | default dict)) -}}
{{- $_ := set $object.metadata "labels" (merge ($object.metadata.labels | default dict) $labels) -}}
{{ toYaml $object }}
{{- end -}}

{{- /* A Role and its binding to the ServiceAccount of the same name. */ -}}
{{- define "kube-iam.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "kube-iam.labels" .root | nindent 4 }}
rules:
{{ toYaml .rules }}
---
{{ include "kube-iam.binding" (merge (dict "kind" "Role") .) }}
{{- end -}}

{{- define "kube-iam.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "kube-iam.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
- kind: ServiceAccount
  name: {{ .name }}
  namespace: kube-system
{{- end -}}

{{- /* The address of a probe: kubelet is on the network of the server. */ -}}
{{- define "kube-iam.probed" -}}
{{ if or (not .) (eq . "0.0.0.0") (eq . "::") }}127.0.0.1{{ else }}{{ . | quote }}{{ end }}
{{- end -}}
