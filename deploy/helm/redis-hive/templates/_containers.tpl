{{/* The containers. */}}

{{/* Redis. "true" for native: an init container that goes on. Takes the root. */}}
{{- define "redis-hive.redis" -}}
{{- $native := eq (include "redis-hive.nativeSidecar" .) "true" -}}
- name: redis
  {{- include "redis-hive.imageLines" (dict "image" .Values.redis.image) | nindent 2 }}
  {{- if $native }}
  restartPolicy: Always
  {{- end }}
  command: [/bin/sh, /etc/redis-hive/start-redis.sh]
  {{- $env := list }}
  {{- if .Values.auth.enabled }}
  {{- $env = list (dict "name" "REDIS_PASSWORD_FILE" "value" "/etc/redis-hive-secrets/redis-password") }}
  {{- end }}
  {{- with concat $env .Values.redis.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - name: tcp-redis
      containerPort: 6379
      protocol: TCP
  # Its port only: the hive, which makes it current, starts after this. No liveness: the hive watches it.
  startupProbe:
    tcpSocket:
      port: tcp-redis
    periodSeconds: 1
    failureThreshold: 60
  {{- if not $native }}
  lifecycle:
    preStop:
      exec:
        command: [/bin/sh, /etc/redis-hive/wait-for-hive.sh]
  {{- end }}
  resources:
    {{- toYaml .Values.redis.resources | nindent 4 }}
  {{- include "redis-hive.containerSecurity" . | nindent 2 }}
  volumeMounts:
    - name: data
      mountPath: /data
    - name: config
      mountPath: /etc/redis-hive
      readOnly: true
    {{- if .Values.auth.enabled }}
    - name: redis-secrets
      mountPath: /etc/redis-hive-secrets
      readOnly: true
    {{- end }}
    {{- include "redis-hive.tlsMount" . | nindent 4 }}
    {{- with .Values.redis.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* A hive. Takes a dict: root, component, resources. */}}
{{- define "redis-hive.hive" -}}
{{- $values := .root.Values -}}
{{- $isData := eq .component "data" -}}
- name: hive
  {{- include "redis-hive.imageLines" (dict "image" $values.hive.image "tag" .root.Chart.AppVersion) | nindent 2 }}
  args: [run]
  envFrom:
    - configMapRef:
        name: {{ include "redis-hive.fullname" .root }}-settings
    {{- with $values.hive.extraEnvFrom }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  env:
    - name: POD_IP
      valueFrom:
        fieldRef:
          fieldPath: status.podIP
    {{- if not $isData }}
    - name: HIVE_WITNESS
      value: "true"
    {{- /* Settings for hives with a Redis, which need files: a witness has neither. */}}
    {{- $unset := ternary (list "REDIS_TLS" "REDIS_CA" "REDIS_CERT" "REDIS_KEY" "REDIS_TLS_SERVER_NAME") list $values.tls.enabled }}
    {{- if hasKey $values.hive.settings "rescue-dir" }}
    {{- $unset = concat $unset (list "RESCUE_DIR" "RESCUE_MAX_BYTES") }}
    {{- end }}
    {{- range $unset }}
    - name: HIVE_{{ . }}
      value: ""
    {{- end }}
    {{- else if $values.auth.enabled }}
    {{- with $values.auth.username }}
    - name: HIVE_REDIS_USERNAME
      value: {{ . | quote }}
    {{- end }}
    - name: HIVE_REDIS_PASSWORD_FILE
      value: /etc/redis-hive-secrets/redis-password
    {{- end }}
    {{- with $values.hive.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: tcp-write
      containerPort: 6380
      protocol: TCP
    - name: tcp-read
      containerPort: 6381
      protocol: TCP
    - name: tcp-peer
      containerPort: 6390
      protocol: TCP
    - name: http
      containerPort: 6391
      protocol: TCP
  readinessProbe:
    httpGet:
      path: /readyz
      port: http
    periodSeconds: 2
    timeoutSeconds: 2
  livenessProbe:
    httpGet:
      path: /livez
      port: http
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: 6
    # A hive that hangs has nothing to hand over.
    terminationGracePeriodSeconds: 5
  resources:
    {{- toYaml .resources | nindent 4 }}
  {{- include "redis-hive.containerSecurity" . | nindent 2 }}
  {{- $mounts := list }}
  {{- if $values.auth.enabled }}
  {{- $mounts = append $mounts (dict "name" "hive-secrets" "mountPath" "/etc/redis-hive-secrets" "readOnly" true) }}
  {{- end }}
  {{- if and $isData $values.tls.enabled }}
  {{- $mounts = append $mounts (dict "name" "tls" "mountPath" "/etc/redis-hive-tls" "readOnly" true) }}
  {{- end }}
  {{- if $isData }}
  {{- $mounts = concat $mounts $values.hive.extraVolumeMounts }}
  {{- end }}
  {{- with $mounts }}
  volumeMounts:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* redis_exporter. It reads no file with only a password, so it gets it as a variable. */}}
{{- define "redis-hive.exporter" -}}
- name: exporter
  {{- include "redis-hive.imageLines" (dict "image" .Values.exporter.image) | nindent 2 }}
  env:
    - name: REDIS_ADDR
      value: {{ ternary "rediss" "redis" .Values.tls.enabled }}://127.0.0.1:6379
    {{- if .Values.tls.enabled }}
    # It is the Redis of this pod; the certificate names no loopback address.
    - name: REDIS_EXPORTER_SKIP_TLS_VERIFICATION
      value: "true"
    - name: REDIS_EXPORTER_TLS_CLIENT_CERT_FILE
      value: /etc/redis-hive-tls/tls.crt
    - name: REDIS_EXPORTER_TLS_CLIENT_KEY_FILE
      value: /etc/redis-hive-tls/tls.key
    {{- end }}
    {{- if .Values.auth.enabled }}
    - name: REDIS_PASSWORD
      valueFrom:
        secretKeyRef:
          name: {{ include "redis-hive.secretName" . }}
          key: {{ default .Values.auth.keys.redisPassword .Values.exporter.passwordKey }}
    {{- end }}
    {{- with .Values.exporter.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: metrics
      containerPort: 9121
      protocol: TCP
  resources:
    {{- toYaml .Values.exporter.resources | nindent 4 }}
  {{- include "redis-hive.containerSecurity" . | nindent 2 }}
  {{- if .Values.tls.enabled }}
  volumeMounts:
    {{- include "redis-hive.tlsMount" . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "redis-hive.tlsMount" -}}
{{- if .Values.tls.enabled -}}
- name: tls
  mountPath: /etc/redis-hive-tls
  readOnly: true
{{- end -}}
{{- end -}}
