{{/* A Service for clients. Takes a dict: root, name (its suffix), service (its values), target (the pods' port, by name or number). */}}
{{- define "redis-hive.clientService" -}}
{{- $service := .service -}}
{{- $annotations := mergeOverwrite (dict "config.linkerd.io/opaque-ports" (int $service.port | toString)) $service.annotations -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "redis-hive.metadata" (dict "root" .root "suffix" (printf "-%s" .name) "annotations" $annotations) | nindent 2 }}
spec:
  type: {{ $service.type }}
  {{- with include "redis-hive.ipFamilies" .root }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $service.externalTrafficPolicy }}
  externalTrafficPolicy: {{ . }}
  {{- end }}
  {{- with $service.loadBalancerClass }}
  loadBalancerClass: {{ . | quote }}
  {{- end }}
  {{- with $service.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  selector:
    {{- include "redis-hive.selectorLabels" .root | nindent 4 }}
    app.kubernetes.io/component: data
  ports:
    - name: tcp-{{ .name }}
      port: {{ int $service.port }}
      targetPort: {{ .target }}
      protocol: TCP
      {{- with $service.nodePort }}
      nodePort: {{ int . }}
      {{- end }}
{{- end -}}

{{- define "redis-hive.ipFamilies" -}}
{{- $given := dict -}}
{{- range $key := list "ipFamilyPolicy" "ipFamilies" -}}
{{- with get $.Values.services $key }}{{ $_ := set $given $key . }}{{ end -}}
{{- end -}}
{{- with $given }}{{ toYaml . }}{{ end -}}
{{- end -}}
