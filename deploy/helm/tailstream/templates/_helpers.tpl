{{- define "tailstream.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Room is left for -exemplars and a StatefulSet's -9999. */}}
{{- define "tailstream.fullname" -}}
{{- $name := include "tailstream.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tailstream.selector" -}}
app.kubernetes.io/name: {{ include "tailstream.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "tailstream.labels" -}}
{{ include "tailstream.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "tailstream.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tailstream.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tailstream.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* "true" or nothing. */}}
{{- define "tailstream.static" -}}
{{- if kindIs "invalid" .Values.staticMembership -}}
{{- if and (eq .Values.kind "StatefulSet") (not .Values.autoscaling.enabled) -}}true{{- end -}}
{{- else if .Values.staticMembership -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail "staticMembership: true with autoscaling.enabled: a worker that is scaled in would be waited for until its session ends; set one of them to false" -}}
{{- end -}}
{{- if eq .Values.kind "Deployment" -}}
{{- fail "staticMembership: true with kind: Deployment: its pods never come back by the same name; use kind: StatefulSet, or set it to false" -}}
{{- end -}}
true
{{- end -}}
{{- end -}}

{{/* A size in MiB or GiB as a number of MiB. Takes a dict of value and name. */}}
{{- define "tailstream.mebibytes" -}}
{{- if hasSuffix "GiB" .value -}}
{{- mul (trimSuffix "GiB" .value | int64) 1024 -}}
{{- else if hasSuffix "MiB" .value -}}
{{- trimSuffix "MiB" .value | int64 -}}
{{- else -}}
{{- fail (printf "%s: %s: write a whole number of MiB or GiB" .name .value) -}}
{{- end -}}
{{- end -}}

{{- define "tailstream.protocol" -}}
{{- if .Values.kafka.sasl.mechanism -}}
{{- ternary "SASL_SSL" "SASL_PLAINTEXT" .Values.kafka.tls.enabled -}}
{{- else -}}
{{- ternary "SSL" "PLAINTEXT" .Values.kafka.tls.enabled -}}
{{- end -}}
{{- end -}}

{{/* The port of a URL, its scheme's where it names none. */}}
{{- define "tailstream.port" -}}
{{- $authority := regexReplaceAll "^[a-z]+://" . "" | regexFind "^[^/?#]*" -}}
{{- regexFind ":[0-9]+$" $authority | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https" .)) -}}
{{- end -}}

{{- define "tailstream.settings" -}}
{{- $kafka := dict "bootstrap.servers" .Values.kafka.bootstrapServers "security.protocol" (include "tailstream.protocol" .) -}}
{{- with .Values.kafka.sasl -}}
{{- if and .existingSecret (not .mechanism) -}}
{{- fail "kafka.sasl.existingSecret without kafka.sasl.mechanism: nobody would log in; name the mechanism" -}}
{{- end -}}
{{- if eq .mechanism "OAUTHBEARER" -}}
{{- $_ := set $kafka "sasl.mechanisms" .mechanism -}}
{{- $_ := set $kafka "sasl.oauthbearer.method" "oidc" -}}
{{- if .existingSecret -}}
{{- $_ := set $kafka "sasl.oauthbearer.client.id" "${env:KAFKA_USERNAME}" -}}
{{- $_ := set $kafka "sasl.oauthbearer.client.secret" "${env:KAFKA_PASSWORD}" -}}
{{- end -}}
{{- else if .mechanism -}}
{{- $_ := required "kafka.sasl.existingSecret: name the secret that holds the user and the password" .existingSecret -}}
{{- $_ := set $kafka "sasl.mechanisms" .mechanism -}}
{{- $_ := set $kafka "sasl.username" "${env:KAFKA_USERNAME}" -}}
{{- $_ := set $kafka "sasl.password" "${env:KAFKA_PASSWORD}" -}}
{{- end -}}
{{- end -}}
{{- with .Values.kafka.tls -}}
{{- if and .existingSecret (not .enabled) -}}
{{- fail "kafka.tls.existingSecret without kafka.tls.enabled: nothing would be encrypted; set kafka.tls.enabled: true, or remove it" -}}
{{- end -}}
{{- if and .certKey (not .existingSecret) -}}
{{- fail "kafka.tls.certKey without kafka.tls.existingSecret: name the secret that holds the certificate" -}}
{{- end -}}
{{- if and .enabled .existingSecret -}}
{{- if .caKey -}}{{- $_ := set $kafka "ssl.ca.location" (printf "/etc/tailstream/tls/%s" .caKey) -}}{{- end -}}
{{- if .certKey -}}
{{- $_ := set $kafka "ssl.certificate.location" (printf "/etc/tailstream/tls/%s" .certKey) -}}
{{- $_ := set $kafka "ssl.key.location" (printf "/etc/tailstream/tls/%s" (required "kafka.tls.keyKey: a certificate needs its key" .keyKey)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $worker := dict "group" .Values.group "instance_id" "${env:HOSTNAME}" "static_membership" (eq (include "tailstream.static" .) "true") "session_timeout" .Values.sessionTimeout -}}
{{- $storage := dict "directory" "/var/lib/tailstream/data" "memory" .Values.storage.memory "disk" .Values.storage.disk -}}
{{- $made := dict "kafka" $kafka "worker" $worker "storage" $storage "web" (dict "host" "0.0.0.0" "port" 6066) "log" (dict "format" "json") -}}
{{- if .Values.rekey.enabled -}}{{- $_ := set $made "topics" (dict "unkeyed" .Values.rekey.topic) -}}{{- end -}}
{{- /* Said aloud: so that the topics' Job makes topics.metrics. */ -}}
{{- if .Values.exemplars.enabled -}}{{- $_ := set $made "exemplars" (dict "kafka" true) -}}{{- end -}}
{{- if .Values.export.enabled -}}{{- $_ := set $made "export" (dict "endpoint" .Values.export.endpoint) -}}{{- end -}}
{{- toYaml (mergeOverwrite $made (deepCopy .Values.settings)) -}}
{{- end -}}

{{- define "tailstream.env" -}}
{{- with .Values.kafka.sasl }}
{{- if .existingSecret }}
- name: KAFKA_USERNAME
  valueFrom: {secretKeyRef: {name: {{ .existingSecret | quote }}, key: {{ .usernameKey | quote }}}}
- name: KAFKA_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .existingSecret | quote }}, key: {{ .passwordKey | quote }}}}
{{- end }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What every pod has: who it is, what it may, what it reads. */}}
{{- define "tailstream.pod" -}}
serviceAccountName: {{ include "tailstream.serviceAccount" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tailstream.container" -}}
image: {{ include "tailstream.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
# The last line of the log says what is wrong, which value, what to do: kubectl describe pod shows it.
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* Until it is ready for the first time it may restore; only then is it asked whether it lives. */}}
{{- define "tailstream.pages" -}}
ports:
  - {name: metrics, containerPort: 6066}
startupProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ div (add .startSeconds 4) 5 }}
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{- define "tailstream.mounts" -}}
- {name: settings, mountPath: /etc/tailstream/tailstream.yaml, subPath: tailstream.yaml, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.existingSecret }}
- {name: tls, mountPath: /etc/tailstream/tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "tailstream.volumes" -}}
- name: settings
  configMap: {name: {{ include "tailstream.fullname" . | quote }}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.existingSecret }}
- name: tls
  secret: {secretName: {{ .Values.kafka.tls.existingSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{/* rekey, exemplars and export: a Deployment without a volume. Takes root, component, values, args. */}}
{{- define "tailstream.companion" -}}
{{- $root := .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "tailstream.fullname" $root }}-{{ .component }}
  labels: {{- include "tailstream.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  selector:
    matchLabels: {{- include "tailstream.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "tailstream.labels" . | nindent 8 }}
      annotations:
        checksum/settings: {{ include "tailstream.settings" $root | sha256sum }}
    spec:
      {{- include "tailstream.pod" $root | nindent 6 }}
      terminationGracePeriodSeconds: 30
      containers:
        - name: {{ .component }}
          {{- include "tailstream.container" $root | nindent 10 }}
          args: {{- toYaml .args | nindent 12 }}
          env:
            - {name: TAILSTREAM_CONFIG, value: /etc/tailstream/tailstream.yaml}
            {{- with include "tailstream.env" $root | trim }}{{ nindent 12 . }}{{ end }}
            {{- with .values.env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- include "tailstream.pages" (dict "startSeconds" 300) | nindent 10 }}
          resources: {{- toYaml .values.resources | nindent 12 }}
          volumeMounts: {{- include "tailstream.mounts" $root | nindent 12 }}
      volumes: {{- include "tailstream.volumes" $root | nindent 8 }}
{{- end -}}
