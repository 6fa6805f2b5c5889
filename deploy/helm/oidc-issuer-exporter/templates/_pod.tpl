{{- define "oidc-issuer-exporter.pod" -}}
metadata:
  labels:
    {{- include "oidc-issuer-exporter.labels" . | nindent 4 }}
    {{- with .Values.pod.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- $annotations := deepCopy .Values.podAnnotations }}
  {{- if not (include "oidc-issuer-exporter.reloads" .) }}
  {{- $_ := set $annotations "checksum/config" (toYaml .Values.config | sha256sum) }}
  {{- end }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "oidc-issuer-exporter.serviceAccountName" . }}
  automountServiceAccountToken: {{ .Values.automountServiceAccountToken }}
  enableServiceLinks: false
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "dnsPolicy" "dnsConfig" }}
  {{- with index $.Values $key }}
  {{ $key }}: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: exporter
      image: {{ include "oidc-issuer-exporter.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - --config.file=/etc/oidc-issuer-exporter/config.yaml
        {{- if include "oidc-issuer-exporter.reloads" . }}
        - --config.auto-reload-interval={{ .Values.configReloader.interval }}
        {{- end }}
        - --web.listen-address=:{{ .Values.containerPort }}
        {{- if .Values.webConfig.enabled }}
        - --web.config.file=/etc/oidc-issuer-exporter-web/web-config.yaml
        {{- end }}
        {{- if .Values.sharding.enabled }}
        - --total-shards={{ .Values.replicas }}
        {{- end }}
        - --log.format=json
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        # A shard is known by the number at the end of its pod's name.
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: {{ .Values.containerPort }}
      livenessProbe:
        {{- include "oidc-issuer-exporter.probe" (dict "probe" .Values.livenessProbe "context" .) | nindent 8 }}
      readinessProbe:
        {{- include "oidc-issuer-exporter.probe" (dict "probe" .Values.readinessProbe "context" .) | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        # The folder, not the file: a file mounted by itself never changes.
        - name: config
          mountPath: /etc/oidc-issuer-exporter
          readOnly: true
        {{- if .Values.webConfig.enabled }}
        - name: web-config
          mountPath: /etc/oidc-issuer-exporter-web
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      {{- if .Values.configExistingConfigMapName }}
      configMap:
        name: {{ .Values.configExistingConfigMapName }}
      {{- else if or .Values.configExistingSecretName .Values.secretConfig }}
      secret:
        secretName: {{ default (include "oidc-issuer-exporter.fullname" .) .Values.configExistingSecretName }}
      {{- else }}
      configMap:
        name: {{ include "oidc-issuer-exporter.fullname" . }}
      {{- end }}
    {{- if .Values.webConfig.enabled }}
    - name: web-config
      secret:
        secretName: {{ include "oidc-issuer-exporter.webConfigSecretName" . }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
