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
  {{- with .Values.auth.username }}
  {{- $env = append $env (dict "name" "HIVE_REDIS_USERNAME" "value" .) }}
  {{- end }}
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
    {{- if $values.tls.enabled }}
    # The shared settings name files of hives with a Redis.
    {{- range list "TLS" "CA" "CERT" "KEY" "TLS_SERVER_NAME" }}
    - name: HIVE_REDIS_{{ . }}
      value: ""
    {{- end }}
    {{- end }}
    {{- else }}
    {{- if $values.auth.enabled }}
    {{- with $values.auth.username }}
    - name: HIVE_REDIS_USERNAME
      value: {{ . | quote }}
    {{- end }}
    - name: HIVE_REDIS_PASSWORD_FILE
      value: /etc/redis-hive-secrets/redis-password
    {{- end }}
    # What Redis can have, which it does not know itself: for a word in time.
    - name: HIVE_REDIS_MEMORY_LIMIT
      valueFrom:
        resourceFieldRef:
          containerName: redis
          resource: limits.memory
    {{- range $flag := list "rescue-dir" "rescue-max-bytes" }}
    {{- with get $values.hive.settings $flag }}
    - name: {{ include "redis-hive.variable" $flag }}
      value: {{ include "redis-hive.setting" . | quote }}
    {{- end }}
    {{- end }}
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
    {{- if $values.sentinel.enabled }}
    - name: tcp-sentinel
      containerPort: {{ int $values.sentinel.port }}
      protocol: TCP
    {{- end }}
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

{{/* redis_exporter. Its file of passwords is JSON, so it is a key of its own. */}}
{{- define "redis-hive.exporter" -}}
- name: exporter
  {{- include "redis-hive.imageLines" (dict "image" .Values.exporter.image) | nindent 2 }}
  env:
    - name: REDIS_ADDR
      value: {{ include "redis-hive.exporterTarget" . }}
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
    - name: REDIS_PASSWORD_FILE
      value: /etc/redis-hive-secrets/exporter-passwords.json
    {{- end }}
    {{- with .Values.exporter.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: http-metrics
      containerPort: 9121
      protocol: TCP
  resources:
    {{- toYaml .Values.exporter.resources | nindent 4 }}
  {{- include "redis-hive.containerSecurity" . | nindent 2 }}
  {{- if or .Values.auth.enabled .Values.tls.enabled }}
  volumeMounts:
    {{- if .Values.auth.enabled }}
    - name: exporter-secrets
      mountPath: /etc/redis-hive-secrets
      readOnly: true
    {{- end }}
    {{- include "redis-hive.tlsMount" . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "redis-hive.exporterTarget" -}}
{{ ternary "rediss" "redis" .Values.tls.enabled }}://127.0.0.1:6379
{{- end -}}

{{- define "redis-hive.tlsMount" -}}
{{- if .Values.tls.enabled -}}
- name: tls
  mountPath: /etc/redis-hive-tls
  readOnly: true
{{- end -}}
{{- end -}}
