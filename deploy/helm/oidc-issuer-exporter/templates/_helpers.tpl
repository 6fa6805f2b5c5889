{{- define "oidc-issuer-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Names are at most 63 long; a StatefulSet's pods add their number, a dashboard its own name. */}}
{{- define "oidc-issuer-exporter.fullname" -}}
{{- $name := include "oidc-issuer-exporter.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "oidc-issuer-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "oidc-issuer-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "oidc-issuer-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oidc-issuer-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "oidc-issuer-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- if .Values.releaseLabel }}
release: {{ .Release.Name }}
{{- end }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "oidc-issuer-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "oidc-issuer-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "oidc-issuer-exporter.image" -}}
{{- $image := .Values.image }}
{{- $registry := default $image.registry .Values.global.imageRegistry }}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- define "oidc-issuer-exporter.configExists" -}}
{{- or .Values.configExistingConfigMapName .Values.configExistingSecretName }}
{{- end }}

{{/* Whether the running exporter takes a changed configuration over; a rollout does otherwise. */}}
{{- define "oidc-issuer-exporter.reloads" -}}
{{- if or .Values.configReloader.enabled (include "oidc-issuer-exporter.configExists" .) }}true{{ end }}
{{- end }}

{{- define "oidc-issuer-exporter.webConfigSecretName" -}}
{{- default (printf "%s-web" (include "oidc-issuer-exporter.fullname" .)) .Values.webConfig.existingSecretName }}
{{- end }}

{{- define "oidc-issuer-exporter.scheme" -}}
{{- if and .Values.webConfig.enabled .Values.webConfig.https }}https{{ else }}http{{ end }}
{{- end }}

{{/* A probe with the scheme that the exporter answers by. */}}
{{- define "oidc-issuer-exporter.probe" -}}
{{- $probe := deepCopy .probe }}
{{- if and $probe.httpGet (eq (include "oidc-issuer-exporter.scheme" .context) "https") }}
{{- $_ := set $probe.httpGet "scheme" "HTTPS" }}
{{- end }}
{{- toYaml $probe }}
{{- end }}
