// Objects for a round of kubectl.

/** A Deployment of the built-in server. */
export function webDeployment(replicas = 2): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', labels: { app: 'web' } },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'main',
              image: 'agnhost',
              args: ['netexec', '--http-port=8080', '--udp-port=8081'],
              ports: [{ name: 'http', containerPort: 8080 }],
              readinessProbe: { httpGet: { path: '/hostname', port: 'http' }, periodSeconds: 1 },
            },
          ],
        },
      },
    },
  };
}

export function webService(name = 'web'): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, labels: { app: 'web' } },
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
  };
}

export function config(name: string, data: Record<string, string>): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
}

/** A pod that prints two lines and waits; `cat` and `hostname` can be run in it. */
export function talker(): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'talker', labels: { role: 'talker' } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'main',
          image: 'shell',
          command: ['sh', '-c', 'echo first; echo second; exec sleep 3600'],
        },
      ],
    },
  };
}
