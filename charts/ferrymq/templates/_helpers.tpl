{{/* The name of all that the release has; two releases may be in one cluster, each for its own namespace. */}}
{{- define "ferrymq.name" -}}
{{- if contains "ferrymq" .Release.Name -}}
{{- printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-ferrymq-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels by which the operator's pods are found; they can never change. */}}
{{- define "ferrymq.selector" -}}
app.kubernetes.io/name: ferrymq-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The labels that the chart sets itself. */}}
{{- define "ferrymq.ownLabels" -}}
{{ include "ferrymq.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "ferrymq.labels" -}}
{{ include "ferrymq.ownLabels" . }}
{{- $more := .Values.commonLabels | default dict -}}
{{- include "ferrymq.notOwn" (list . "commonLabels" $more) -}}
{{- with $more }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of what a Prometheus operator reads, with the labels by which it finds it. */}}
{{- define "ferrymq.monitoringLabels" -}}
{{- $root := index . 0 -}}
{{- $more := index . 1 | default dict -}}
{{ include "ferrymq.ownLabels" $root }}
{{- include "ferrymq.notOwn" (list $root "monitoring.labels" $more) -}}
{{- with merge (dict) $more ($root.Values.commonLabels | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of the operator's pods; what is said of them alone goes before what is said of all. */}}
{{- define "ferrymq.podLabels" -}}
{{ include "ferrymq.ownLabels" . }}
{{- $more := .Values.podLabels | default dict -}}
{{- include "ferrymq.notOwn" (list . "podLabels" $more) -}}
{{- with merge (dict) $more (.Values.commonLabels | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Refuses labels that the chart sets itself: an object has each of them once. */}}
{{- define "ferrymq.notOwn" -}}
{{- $own := include "ferrymq.ownLabels" (index . 0) | fromYaml -}}
{{- $place := index . 1 -}}
{{- range $key, $_ := index . 2 -}}
{{- if hasKey $own $key -}}
{{- fail (printf "%s: the chart sets %s itself; take it out" $place $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ferrymq.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
