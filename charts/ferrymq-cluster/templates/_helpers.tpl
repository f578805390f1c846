{{/* The name of the MessageQueue. It is never cut short: the cluster under a shorter name would be another one. */}}
{{- define "ferrymq-cluster.name" -}}
{{- $name := .Values.cluster.name | default .Release.Name -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$" $name) -}}
{{- fail (printf "a MessageQueue cannot have the name '%s', which becomes part of the names of its pods and services: set cluster.name to at most 40 lower-case letters, digits and '-', beginning with a letter and ending with a letter or digit" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* How many brokers there will be; where it is left out, the operator's default. */}}
{{- define "ferrymq-cluster.replicas" -}}
{{- kindIs "invalid" .Values.cluster.replicas | ternary 3 .Values.cluster.replicas -}}
{{- end -}}

{{/* A number of bytes, after its place in the values. */}}
{{- define "ferrymq-cluster.bytes" -}}
{{- $place := index . 0 -}}
{{- $size := index . 1 -}}
{{- if not (regexMatch "^[0-9]+([.][0-9]{1,9})?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E|[eE][0-9]{1,2})?$" $size) -}}
{{- fail (printf "%s: '%s' is no quantity; write a number and a unit, such as 20Gi (units Ki, Mi, Gi, Ti, Pi, Ei, k, M, G, T, P, E)" $place $size) -}}
{{- end -}}
{{- $size | quote -}}
{{- end -}}

{{/* Labels, and annotations where there are any. */}}
{{- define "ferrymq-cluster.metadata" -}}
{{- $labels := dict
  "app.kubernetes.io/name" "ferrymq-cluster"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- range $key, $_ := .Values.commonLabels -}}
{{- if hasKey $labels $key -}}
{{- fail (printf "commonLabels: the chart sets %s itself; take it out" $key) -}}
{{- end -}}
{{- end -}}
namespace: {{ .Release.Namespace | quote }}
labels:
  {{- merge $labels (.Values.commonLabels | default dict) | toYaml | nindent 2 }}
{{- with .Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
