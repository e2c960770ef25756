#!/usr/bin/env python3
"""What Torana and Traefik make of the same containers of one engine, by their APIs.

    compare.py TORANA TRAEFIK

Prints what differs; `DIFFERS` below is what does so on purpose. Exits 1 if anything else does. Needs root, for
tests/services/docker.sh.
"""
import json, os, subprocess, sys, tempfile, time, urllib.request

TORANA, TRAEFIK = sys.argv[1:3]
S = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../services/docker.sh')
D = tempfile.mkdtemp()
# The lowest port of the service's own transport, where Traefik takes 53/udp for HTTP.
DIFFERS = {'services/exp@docker'}
env=dict(os.environ); env.pop('LIVE',None); env.pop('PORT',None)
subprocess.run([S,'start',D],check=True,env=env)
H=f'unix://{D}/docker.sock'; env['DOCKER_HOST']=H
def d(*a): return subprocess.run(['docker',*a],env=env,capture_output=True,text=True)
d('network','create','n1'); d('network','create','n2')
R='traefik.http.routers.'
sets={
 'plain':[], 
 'labels':[R+'a.rule=Host(`a`)',R+'a.priority=7',R+'a.entrypoints=web','traefik.http.services.a.loadbalancer.server.port=81','traefik.http.services.a.loadbalancer.server.scheme=h2c'],
 'two':['traefik.http.services.s1.loadbalancer.server.port=1','traefik.http.services.s2.loadbalancer.server.port=2'],
 'twor':['traefik.http.services.s3.loadbalancer.server.port=1','traefik.http.services.s4.loadbalancer.server.port=2',R+'two.service=s3',R+'three.rule=Path(`/x`)'],
 'tcp':['traefik.tcp.routers.t.rule=HostSNI(`*`)','traefik.tcp.routers.t.entrypoints=web','traefik.tcp.services.t.loadbalancer.server.port=5'],
 'udp':['traefik.udp.routers.u.entrypoints=udp','traefik.udp.services.u.loadbalancer.server.port=6'],
 'mw':[R+'mw.middlewares=m1','traefik.http.middlewares.m1.addprefix.prefix=/x',R+'mw.rule=Path(`/mw`)'],
 'bogus':[R+'b.bogus=1'], 'upper':['TRAEFIK.x=1',R+'upper.rule=Path(`/u`)'], 'en':['traefik.enable=maybe'], 'off':['traefik.enable=false'],
 'portx':['traefik.http.services.px.loadbalancer.server.port=abc'],
 'own':['traefik.docker.foo=1'],'sw':['traefik.swarm.network=zz'],
 'url':['traefik.http.services.url.loadbalancer.server.url=http://1.2.3.4:5'],
 'urlp':['traefik.http.services.urlp.loadbalancer.server.url=http://1.2.3.4:5','traefik.http.services.urlp.loadbalancer.server.port=5'],
 'compose':['com.docker.compose.project=pp','com.docker.compose.service=se_rv'],
 'sticky':['traefik.http.services.st.loadbalancer.sticky.cookie=true','traefik.http.services.st.loadbalancer.healthcheck.path=/health'],
 'pause':[], 'stopped':[], 'nonrun':['traefik.docker.allownonrunning=true'],
}
for n,ls in sets.items():
    a=['run','-d','--name',n]
    for l in ls: a+=['-l',l]
    r=d(*a,'torana-test/web'); assert r.returncode==0,r.stderr
d('run','-d','--name','net1','--network','n1','-l','traefik.docker.network=n1','torana-test/web')
d('run','-d','--name','net2','--network','n2','-l','traefik.docker.network=nope','torana-test/web')
d('run','-d','--name','hostn','--network','host','-l','traefik.http.services.hostn.loadbalancer.server.port=9','torana-test/web','/bin/sleep','1000')
d('run','-d','--name','cont','--network','container:net1','-l','traefik.http.services.cont.loadbalancer.server.port=9','torana-test/web','/bin/sleep','1000')
d('run','-d','--name','nonet','--network','none','torana-test/web')
d('run','-d','--name','sick','--health-cmd','false','--health-interval','1s','torana-test/web')
d('run','-d','--name','exp','--expose','53/udp','torana-test/web')
d('run','-d','--name','pub','-p','127.0.0.1:23456:8080','torana-test/web')
d('run','-d','--name','puball','-p','23457:8080','torana-test/web')
for i in (1,2):
    d('run','-d','--name',f'rep{i}','-l',R+'rep.rule=Path(`/rep`)','-l','traefik.http.services.rep.loadbalancer.server.port=8080','torana-test/web')
    d('run','-d','--name',f'clash{i}','-l',R+f'clash.rule=Path(`/{i}`)','torana-test/web')
d('pause','pause'); d('stop','-t','0','stopped'); d('stop','-t','0','nonrun'); time.sleep(4)
def raw(binary,port,flags):
    p=subprocess.Popen([binary,'--entrypoints.web.address=127.0.0.1:%d'%port,'--entrypoints.udp.address=127.0.0.1:%d/udp'%port,'--entrypoints.traefik.address=127.0.0.1:%d'%(port+1),'--api.insecure','--api.dashboard=false','--providers.docker.endpoint='+H,'--log.level=ERROR',*flags],stdout=subprocess.PIPE,stderr=subprocess.STDOUT,text=True)
    time.sleep(4)
    try: return json.load(urllib.request.urlopen(f'http://127.0.0.1:{port+1}/api/rawdata'))
    finally: p.terminate(); p.communicate()
def norm(r):
    o={}
    for k in ('routers','services','middlewares','tcpRouters','tcpServices','udpRouters','udpServices'):
        for n,v in (r.get(k) or {}).items():
            if n.endswith('@docker'):
                v=json.loads(json.dumps(v)); v.pop('serverStatus',None)
                if v.get('error'): v['error']='E'
                lb=v.get('loadBalancer') or {}
                if 'servers' in lb: lb['servers']=sorted(lb['servers'],key=str)
                v.get('usedBy',[]).sort()
                o[k+'/'+n]=v
    return o
wrong = 0
for flags in ([],['--providers.docker.usebindportip=true'],['--providers.docker.allowemptyservices=true','--providers.docker.network=n2'],['--providers.docker.exposedbydefault=false'],['--providers.docker.constraints=LabelRegex(`com.docker.compose.project`,`p+`)||Label(`traefik.docker.network`,`n1`)','--providers.docker.defaultrule=Host(`{{ trimSuffix "x" .ContainerName }}.{{ index .Labels "com.docker.compose.service" }}`)']):
    t=norm(raw(TRAEFIK,28080,flags)); g=norm(raw(TORANA,28090,flags))
    print('=====', flags, len(t), 'objects of Traefik,', len(g), 'of Torana')
    for k in sorted(set(t)|set(g)):
        if t.get(k)!=g.get(k):
            wrong += k not in DIFFERS
            print(k,'\n   T',json.dumps(t.get(k)),'\n   G',json.dumps(g.get(k)))
subprocess.run([S,'stop',D],env=env)

print('differs' if wrong else 'the same, but for what differs on purpose')
sys.exit(wrong > 0)
